package main

import (
	"os"
	"testing"

	"tigerflow.dev/tigerflow/spool"
)

// TestRetryPipeline: error files are counted in folders of the output folder, too, and a task may not have begun.
func TestRetryPipeline(t *testing.T) {
	b := newBooks(t)
	for _, task := range []string{"count", "shout"} {
		b.must(b.locks[task].Close())
	}
	s := b.locks["scan"].Spool()
	spec := *s.Spec()
	spec.Recursive = true
	b.must(b.locks["scan"].Update(s.Owner(), spec))
	b.fail("scan", "sub/z.pdf", "no")
	b.must(os.RemoveAll(b.path("out", "count")))
	const asked = "no error file is there now; what fails before this is read runs again; nothing works on it now: this is done when it is next started\n"
	b.want(b.tigerflow(0, "retry", b.path("out")), "count: "+asked+
		"scan: 2 failed files are to run again; process P on H works on it and does this within seconds, if it lives; else it is done at the next start\nshout: "+asked)
	if list, err := s.Requests(); err != nil || len(list) != 1 || list[0].Kind != spool.RequestRetry {
		t.Errorf("asked %v, %v", list, err)
	}
}
