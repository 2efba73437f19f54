package taskstatus

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

var now = time.Unix(1_800_000_000, 0)

// write tells how often a Verdict on a Task is written, and when to look again.
func write(t *testing.T, task *v1alpha1.Task, v *Verdict) (writes int, again time.Duration) {
	t.Helper()
	c := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		SubResourceApply: func(context.Context, client.Client, string, runtime.ApplyConfiguration, ...client.SubResourceApplyOption) error {
			writes++
			return nil
		},
	}).Build()
	again, err := Write(t.Context(), c, task, v, now)
	if err != nil {
		t.Fatal(err)
	}
	return writes, again
}

// What is there is not written again, and what is only supposed not over what was said just now.
func TestWriteOnlyWhatIsNew(t *testing.T) {
	lost, stalled := Unknown(v1alpha1.ReasonBridgeLost, "lost"), Stalled(v1alpha1.ReasonPodRefused, "refused")
	ready := func(ago time.Duration) []metav1.Condition {
		return []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-ago))}}
	}
	for name, tt := range map[string]struct {
		conditions []metav1.Condition
		verdict    *Verdict
		writes     int
		again      time.Duration
	}{
		"nothing yet":            {nil, lost, 1, 0},
		"ready for long":         {ready(time.Hour), lost, 1, 0},
		"ready just now":         {ready(20 * time.Second), lost, 0, 40 * time.Second},
		"ready by another clock": {ready(-time.Hour), lost, 0, time.Minute},
		"ready, and surely not":  {ready(time.Second), stalled, 1, 0},
		"there":                  {lost.conditions(&v1alpha1.Task{}, now.Add(-time.Second)), lost, 0, 0},
		"another reason":         {Unknown(v1alpha1.ReasonDeletionBlocked, "lost").conditions(&v1alpha1.Task{}, now), lost, 1, 0},
	} {
		task := &v1alpha1.Task{Status: v1alpha1.TaskStatus{Conditions: tt.conditions}}
		if writes, again := write(t, task, tt.verdict); writes != tt.writes || again != tt.again {
			t.Errorf("%s: %d writes, and again after %s", name, writes, again)
		}
	}
}

// What is wrong with the files of a Task stays so, and a message fits.
func TestConditions(t *testing.T) {
	task := &v1alpha1.Task{ObjectMeta: metav1.ObjectMeta{Generation: 3}}
	task.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionDegraded, Status: metav1.ConditionTrue, Reason: "FilesFailed", Message: "1 file failed"}}
	var got []string
	for _, c := range Stalled(v1alpha1.ReasonPodRefused, "%s", strings.Repeat("é", 5000)).conditions(task, now) {
		got = append(got, fmt.Sprintf("%s=%s/%s %d %d", c.Type, c.Status, c.Reason, c.ObservedGeneration, len([]rune(c.Message))))
	}
	want := "Ready=False/PodRefused 3 4096, Complete=False/PodRefused 3 4096, Stalled=True/PodRefused 3 4096, Degraded=True/FilesFailed 3 13"
	if text := strings.Join(got, ", "); text != want {
		t.Errorf("got %s", text)
	}
}
