package bridge

import (
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A bridge lives as long as its Lease changes, whatever time it has in it: clocks differ.
func TestSigns(t *testing.T) {
	s, bridge := newSigns(), types.NamespacedName{Namespace: "n", Name: "b"}
	lease := func(version string) *coordinationv1.Lease {
		return &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{ResourceVersion: version},
			Spec:       coordinationv1.LeaseSpec{LeaseDurationSeconds: new(int32(40)), RenewTime: &metav1.MicroTime{Time: time.Unix(0, 0)}},
		}
	}
	begin := time.Unix(1_800_000_000, 0)
	for _, step := range []struct {
		after time.Duration
		lease *coordinationv1.Lease
		want  time.Duration
	}{
		{0, lease("1"), 40 * time.Second},
		{30 * time.Second, lease("1"), 10 * time.Second},
		{30 * time.Second, lease("2"), 40 * time.Second},
		{70 * time.Second, lease("2"), 0},
		{80 * time.Second, lease("2"), 0},
		{90 * time.Second, lease("3"), 40 * time.Second},
		{100 * time.Second, nil, time.Minute},
		{160 * time.Second, nil, 0},
	} {
		if got := s.left(bridge, cached, step.lease, begin.Add(step.after)); got != step.want {
			t.Errorf("after %s %s are left, want %s", step.after, got, step.want)
		}
	}
	s.forget(bridge)
	if got := s.left(bridge, cached, nil, begin.Add(time.Hour)); got != time.Minute {
		t.Errorf("one that was forgotten has %s", got)
	}
}
