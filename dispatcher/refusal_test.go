package dispatcher

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/internal/faultfs"
	"tigerflow.dev/tigerflow/spool"
)

// TestLedgerRefusedLate: the client of a network file system takes entries and drops them when the server refuses them later.
// Also without durability the dispatcher comes to know of it, and writes them again.
func TestLedgerRefusedLate(t *testing.T) {
	if _, err := os.Stat("/dev/fuse"); err != nil || os.Geteuid() != 0 {
		t.Skip("mounting needs root and FUSE")
	}
	served, root := t.TempDir(), t.TempDir()
	server, err := faultfs.NewServer(served)
	must(t, err)
	host, err := server.Mount("a", root, faultfs.Options{WriteBack: time.Hour, PageSize: 64})
	must(t, err)
	t.Cleanup(func() { must(t, host.Close()) })
	r := newRigIn(t, root)
	r.begin()
	w, names := r.worker(0, 1), []string{"a.txt", "b.txt", "c.txt"}
	for _, name := range names {
		r.input(name)
		r.round()
		w.work(0.01)
		refuses := name == "b.txt"
		if refuses {
			server.Refuse(syscall.EDQUOT)
		}
		if trouble := r.after(syncRest).Storage; refuses != (trouble != nil && trouble.Full) {
			t.Errorf("after %s: %+v", name, trouble)
		}
		server.Refuse(0)
	}
	w.exit(spool.ExitDrained)
	r.after(syncRest)
	other, err := spool.Open(filepath.Join(served, "out", ".tigerflow", "tasks", "demo"))
	must(t, err)
	var done []string
	must(t, other.ReadLedger(1, func(e spool.Entry) error {
		for _, n := range e.Done {
			done = append(done, string(n))
		}
		return nil
	}))
	if slices.Sort(done); !slices.Equal(done, names) {
		t.Errorf("the server knows that %q are done, want %q", done, names)
	}
}
