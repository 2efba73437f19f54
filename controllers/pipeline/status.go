package pipeline

import (
	"context"
	"fmt"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

// writeStatus applies the status if it has changed.
func (r *Reconciler) writeStatus(ctx context.Context, s *state, m *memory) error {
	p := s.pipeline
	status := v1alpha1.PipelineStatus{
		ObservedGeneration: p.Generation, Files: s.files(), Tasks: s.tasks(), Conditions: s.conditions(),
	}
	for i := range status.Conditions {
		c := &status.Conditions[i]
		c.ObservedGeneration = p.Generation
		c.LastTransitionTime = metav1.NewTime(s.now)
		if old := meta.FindStatusCondition(p.Status.Conditions, c.Type); old != nil && old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
	}
	if apiequality.Semantic.DeepEqual(status, p.Status) {
		return nil
	}
	if wait := r.Period - s.now.Sub(m.wrote); wait > 0 && apiequality.Semantic.DeepEqual(withoutCounters(status), withoutCounters(p.Status)) {
		s.wait(wait)
		return nil
	}
	u := applied(p)
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&status)
	if err != nil {
		return err
	}
	u.Object["status"] = content
	err = r.Client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(v1alpha1.FieldOwnerPipeline), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("writing the status: %w", err)
	}
	if u.GetResourceVersion() != p.ResourceVersion {
		m.stale = p.ResourceVersion
	}
	m.wrote, m.told = s.now, p.Generation
	return nil
}

// withoutCounters is what of a status is to be written at once.
func withoutCounters(status v1alpha1.PipelineStatus) v1alpha1.PipelineStatus {
	status = *status.DeepCopy()
	status.Files = nil
	for i := range status.Tasks {
		status.Tasks[i].Files = nil
	}
	for i := range status.Conditions {
		if c := &status.Conditions[i]; c.Reason == string(v1alpha1.ReasonFilesFailed) || c.Reason == string(v1alpha1.ReasonRunning) {
			c.Message = ""
		}
	}
	return status
}

// files are those that the lead has counted; as before while it has yet to count them.
func (s *state) files() *v1alpha1.PipelineFileCounts {
	for _, m := range s.members {
		if isLead(m) && m.have != nil && m.have.Status.Pipeline != nil {
			return m.have.Status.Pipeline
		}
	}
	return s.pipeline.Status.Files
}

func (s *state) tasks() []v1alpha1.PipelineTaskStatus {
	var list []v1alpha1.PipelineTaskStatus
	for _, m := range s.members {
		item := v1alpha1.PipelineTaskStatus{Name: m.name(), Object: m.want.Name}
		if m.have != nil {
			item.State, item.Files, item.Workers = string(reasonOf(m.have)), m.have.Status.Files, m.have.Status.Workers
		}
		list = append(list, item)
	}
	return list
}
