package dispatcher

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/controllers/taskstatus"
)

// forcePatience is how long after its time a Pod may stay that is deleted. Then its node is gone, or does not answer: the object
// goes without it, so that another Pod can have its name. Should the old dispatcher still run, the locks of the spools keep the
// two apart.
const forcePatience = time.Minute

// situation is what one reconcile found of a dispatcher, and what is to be done about it.
type situation struct {
	owner     Owner
	object    client.Object      // the Task or the Pipeline; nil if there is none, or it is being deleted
	deleting  bool               // it is: what belongs to it goes by itself
	workspace v1alpha1.Workspace // of the object
	tasks     []*v1alpha1.Task   // those whose workers are Pods
	pending   bool               // the Pipeline is not complete: it may still ask more of Tasks that are
	pod       *corev1.Pod        // nil if there is none
	now       time.Time

	needed  bool                // a dispatcher is to run
	want    *corev1.Pod         // the Pod that it should have; nil if that cannot be said
	verdict *taskstatus.Verdict // why none runs
	next    time.Duration       // when to look again; 0 is when something happens
	err     error               // to be tried again with back-off
}

// wait sees to it that the owner is looked at again after d, or sooner.
func (s *situation) wait(d time.Duration) {
	if d > 0 && (s.next == 0 || d < s.next) {
		s.next = d
	}
}

// look reads all of it from the cache.
func (r *Reconciler) look(ctx context.Context, o Owner) (*situation, error) {
	s := &situation{owner: o, now: r.now()}
	pod := &corev1.Pod{}
	switch err := r.Client.Get(ctx, o.podKey(), pod); {
	case err == nil:
		s.pod = pod
	case !apierrors.IsNotFound(err):
		return nil, err
	}
	var err error
	switch o.Kind {
	case KindTask:
		err = r.lookAtTask(ctx, s)
	case KindPipeline:
		err = r.lookAtPipeline(ctx, s)
	}
	if err != nil {
		return nil, err
	}
	if s.object != nil && !s.object.GetDeletionTimestamp().IsZero() {
		s.object, s.deleting = nil, true
	}
	if s.object != nil && len(s.tasks) > 0 {
		s.needed = s.pending || s.object.GetAnnotations()[v1alpha1.AnnotationKeepDispatcher] == "true" || slices.ContainsFunc(s.tasks, isOpen)
	}
	return s, nil
}

func (r *Reconciler) lookAtTask(ctx context.Context, s *situation) error {
	t := &v1alpha1.Task{}
	if err := r.Client.Get(ctx, s.owner.key(), t); err != nil {
		return client.IgnoreNotFound(err)
	}
	if o, ok := OwnerOf(t); ok && o == s.owner {
		s.object, s.workspace, s.tasks = t, t.Spec.Workspace, []*v1alpha1.Task{t}
	}
	return nil
}

func (r *Reconciler) lookAtPipeline(ctx context.Context, s *situation) error {
	p := &v1alpha1.Pipeline{}
	if err := r.Client.Get(ctx, s.owner.key(), p); err != nil {
		return client.IgnoreNotFound(err)
	}
	s.object, s.workspace = p, p.Spec.Workspace
	s.pending = p.Status.ObservedGeneration != p.Generation || !meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionComplete)
	list := &v1alpha1.TaskList{}
	if err := r.Client.List(ctx, list, client.InNamespace(p.Namespace), client.MatchingLabels{v1alpha1.LabelPipeline: p.Name}); err != nil {
		return err
	}
	for i := range list.Items {
		t := &list.Items[i]
		if o, ok := OwnerOf(t); ok && o == s.owner && metav1.IsControlledBy(t, p) {
			s.tasks = append(s.tasks, t)
		}
	}
	slices.SortFunc(s.tasks, func(a, b *v1alpha1.Task) int { return strings.Compare(a.Name, b.Name) }) // what is made of them is to be the same
	return nil
}

// isOpen reports whether a Task needs a dispatcher.
func isOpen(t *v1alpha1.Task) bool {
	return t.DeletionTimestamp.IsZero() && !taskstatus.IsComplete(t)
}

// decide says which Pod there should be, or why there can be none.
func (r *Reconciler) decide(ctx context.Context, s *situation) error {
	if !s.needed {
		return nil
	}
	namespace := namespaceOf(s.owner.Namespace)
	if err := r.Client.Get(ctx, types.NamespacedName{Name: namespace.Name}, namespace); err != nil {
		return client.IgnoreNotFound(err) // it is gone with all that is in it
	}
	identity, err := r.Template.Identity.of(namespace.Annotations)
	if err != nil {
		s.verdict = taskstatus.Stalled(v1alpha1.ReasonIdentityNotSet, "%s", err)
		return nil
	}
	how, fault, err := r.claims.look(ctx, s.owner.Namespace, s.workspace, s.now)
	if err != nil {
		return fmt.Errorf("reading the claim of the workspace: %w", err)
	}
	if s.verdict = fault; fault != nil {
		s.wait(faultPoll)
		return nil
	}
	in := &input{owner: s.owner, object: s.object, workspace: s.workspace, identity: identity, sameNode: how == sharedByNode, lead: leadOf(s.tasks)}
	for _, t := range s.tasks {
		in.workers = append(in.workers, t.Spec.Pod)
	}
	s.want, err = r.Template.pod(in)
	return err
}

// existsPoll is how long to wait for the cache to show a Pod that is there already.
const existsPoll = 5 * time.Second

// faultPoll is how often it is looked whether a person has mended what no event tells of.
const faultPoll = 10 * time.Second

// act brings the Pod a step nearer to what it should be.
func (r *Reconciler) act(ctx context.Context, s *situation) error {
	switch {
	case s.pod == nil && s.want != nil:
		return r.create(ctx, s)
	case s.pod == nil || s.deleting:
		if s.object == nil {
			r.pauses.forget(s.owner)
		}
		return nil
	case s.pod.DeletionTimestamp != nil:
		return r.force(ctx, s)
	case s.outdated():
		if hasEnded(s.pod) {
			r.pauses.begin(s.owner, s.pod.UID, s.now)
		}
		return r.remove(ctx, s.pod)
	case isReady(s.pod):
		r.pauses.forget(s.owner)
	}
	return nil
}

// outdated reports whether the Pod is to go. One that runs stays while it cannot be said what it should be.
func (s *situation) outdated() bool {
	if !s.needed || hasEnded(s.pod) || !metav1.IsControlledBy(s.pod, s.object) {
		return true
	}
	return s.want != nil && s.pod.Annotations[annotationTemplate] != s.want.Annotations[annotationTemplate]
}

func (r *Reconciler) create(ctx context.Context, s *situation) error {
	if left := r.pauses.left(s.owner, s.now); left > 0 {
		s.wait(left)
		return nil
	}
	switch err := r.Client.Create(ctx, s.want); {
	case err == nil:
		s.pod = s.want
	case lacksAccount(err) && s.now.Sub(s.object.GetCreationTimestamp().Time) < startPatience:
		return err // it is being made
	case apierrors.IsForbidden(err) && apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
	case apierrors.IsAlreadyExists(err): // the cache does not show it yet; one that others have made it will never show
		s.wait(existsPoll)
	case apierrors.IsForbidden(err) && !lacksAccount(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		s.verdict = taskstatus.Stalled(v1alpha1.ReasonPodRefused, "the dispatcher's Pod: %s", oneLine(err.Error()))
		s.wait(faultPoll)
	default: // a webhook does not answer, say
		s.err = fmt.Errorf("making the dispatcher's Pod: %w", err)
		s.verdict = &taskstatus.Verdict{Reason: v1alpha1.ReasonExecutorUnavailable, Ready: metav1.ConditionFalse, Message: oneLine(s.err.Error())}
	}
	return nil
}

// lacksAccount reports whether a Pod is refused for want of the ServiceAccount of dispatchers.
func lacksAccount(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "serviceaccount \""+v1alpha1.NameDispatcher+"\" not found")
}

// remove deletes a Pod, with its grace.
func (r *Reconciler) remove(ctx context.Context, pod *corev1.Pod, opts ...client.DeleteOption) error {
	err := r.Client.Delete(ctx, pod, append(opts, client.Preconditions{UID: &pod.UID})...)
	if err = client.IgnoreNotFound(err); err != nil && !apierrors.IsConflict(err) { // another has its name by now
		return fmt.Errorf("deleting the dispatcher's Pod: %w", err)
	}
	return nil
}

// force deletes a Pod whose node does not end it.
func (r *Reconciler) force(ctx context.Context, s *situation) error {
	if left := forcePatience - s.now.Sub(s.pod.DeletionTimestamp.Time); left > 0 {
		s.wait(left)
		return nil
	}
	return r.remove(ctx, s.pod, client.GracePeriodSeconds(0))
}

// tell writes into the status of the Tasks why none is dispatched. As long as one is, it alone writes there.
func (r *Reconciler) tell(ctx context.Context, s *situation) error {
	if s.pod != nil && s.needed {
		verdict, next := verdictOn(s.pod, s.now)
		s.verdict = verdict
		s.wait(next)
	}
	if s.verdict == nil {
		return nil
	}
	for _, t := range s.tasks {
		if !isOpen(t) {
			continue
		}
		again, err := taskstatus.Write(ctx, r.Client, t, s.verdict, s.now)
		if err != nil {
			return err
		}
		s.wait(again)
	}
	return nil
}
