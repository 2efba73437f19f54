package worker

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"tigerflow.dev/tigerflow/spool"
)

func TestPrintLogRotates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.log")
	must(t, os.WriteFile(path, []byte("of the executor\n"), 0o666))
	log, err := openPrintLog(path, 1000)
	must(t, err)
	defer log.Close()
	other, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0) // the worker's own messages
	must(t, err)
	defer other.Close()
	var writers sync.WaitGroup
	for n := range 4 {
		writers.Go(func() {
			for i := range 100 {
				fmt.Fprintf(log, "line %d of %d\n", i, n)
			}
		})
	}
	writers.Wait()
	fmt.Fprintln(other, "last word")
	now, err := os.ReadFile(path)
	must(t, err)
	before, err := os.ReadFile(path + ".1")
	must(t, err)
	if len(now) > 1000+len("last word\n") || len(before) > 1000 || !bytes.HasSuffix(now, []byte("last word\n")) {
		t.Errorf("%d bytes now, %d before; the log ends in %q", len(now), len(before), now[max(0, len(now)-20):])
	}
	if lines := strings.Count(string(before)+string(now), "\n"); lines < 60 {
		t.Errorf("%d lines are left, want nearly two logs full", lines)
	}
}

// A print that the disk does not take is lost, and nobody waits or fails for it.
func TestPrintsSurviveAFullDisk(t *testing.T) {
	full, err := openPrintLog("/dev/full", printLimit)
	if err != nil {
		t.Skip("there is no /dev/full")
	}
	defer full.Close()
	if n, err := full.Write([]byte("lost")); n != 4 || err != nil {
		t.Errorf("wrote %d, %v", n, err)
	}
	r, fill := newFullRig(t, nil)
	r.feed("a", "wait('g')\nfor i in range(100): print('x' * 1000, flush=True)\nPath('printed').touch()\n"+`output_file.unlink()`)
	w := r.start(stays)
	r.begun("g")
	fill()
	r.release("g")
	r.exists("printed")
	must(t, os.Remove(r.path("filler")))
	eventually(t, "the end of the file", func() bool { return w.files(spool.EventFailed) == "a" })
	if f := w.failure(spool.EventFailed); f.Type != spool.FailureOutputRemoved {
		t.Errorf("the failure is %+v, want only that the output was removed: printing must not fail", f)
	}
	w.drain()
	w.ends(spool.ExitDrained)
}
