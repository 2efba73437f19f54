package worker

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestDoubtfulClaimIsTakenOnce: a batch of which it was asked again and again whether it was claimed is one batch.
func TestDoubtfulClaimIsTakenOnce(t *testing.T) {
	r := newRig(t, echo)
	r.feed("a", "x")
	e := newEngineIn(t, r)
	claimed := filepath.Join(r.spool.Path(), "workers", e.w.ID(), "claimed")
	must(t, os.Rename(claimed, claimed+".away"))
	must(t, os.WriteFile(claimed, nil, 0o666)) // no claim succeeds, and none can be looked for
	for range 5 {
		e.claim(time.Now())
	}
	if len(e.doubt) != 1 {
		t.Errorf("in doubt about %v", e.doubt)
	}
	must(t, os.Remove(claimed))
	must(t, os.Rename(claimed+".away", claimed))
	for range 5 {
		e.claim(time.Now())
	}
	if len(e.batches) != 1 {
		t.Errorf("one batch was taken %d times", len(e.batches))
	}
}
