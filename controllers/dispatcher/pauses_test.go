package dispatcher

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Each end of a Pod has one pause, however often it is looked at, and longer ones follow until all is well.
func TestPauses(t *testing.T) {
	p, o, now := newPauses(), Owner{KindTask, "n", "t"}, time.Unix(1_800_000_000, 0)
	for _, step := range []struct {
		uid  types.UID
		want time.Duration
	}{{"a", time.Second}, {"a", time.Second}, {"b", 2 * time.Second}, {"b", 2 * time.Second}, {"c", 4 * time.Second}} {
		p.begin(o, step.uid, now)
		if got := p.left(o, now); got != step.want {
			t.Errorf("after the end of %s it takes %s, want %s", step.uid, got, step.want)
		}
	}
	p.forget(o)
	p.begin(o, "d", now)
	if got := p.left(o, now); got != time.Second {
		t.Errorf("after all was well it takes %s", got)
	}
}
