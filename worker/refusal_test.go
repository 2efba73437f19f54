package worker

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/internal/faultfs"
	"tigerflow.dev/tigerflow/spool"
)

// TestJournalRefusedLate: the client of a network file system takes records and drops them when the server refuses them later.
// Also without durability the worker comes to know of it, and writes them again.
func TestJournalRefusedLate(t *testing.T) {
	if _, err := os.Stat("/dev/fuse"); err != nil || os.Geteuid() != 0 {
		t.Skip("mounting needs root and FUSE")
	}
	server, err := faultfs.NewServer(t.TempDir())
	must(t, err)
	root := t.TempDir()
	host, err := server.Mount("a", root, faultfs.Options{WriteBack: time.Millisecond, PageSize: 64})
	must(t, err)
	t.Cleanup(func() { must(t, host.Close()) })
	r := newRigIn(t, root, echo)
	w := r.start(stays)
	r.feed("a", "x")
	r.exists("out/a.out")
	server.Refuse(syscall.EDQUOT)
	eventually(t, "the word of the refusal", func() bool { return strings.Contains(w.log.String(), "the storage does not take") })
	server.Refuse(0)
	r.feed("b", "x")
	eventually(t, "the record of b", func() bool {
		var all strings.Builder
		must(t, r.spool.JournalTail(w.id, 0).Read(func(payload []byte, _ int64) error {
			all.Write(payload)
			return nil
		}))
		return strings.Contains(all.String(), `"b.txt"`)
	})
	w.drain()
	w.ends(spool.ExitDrained)
	w.wantFiles("done", "a b")
}
