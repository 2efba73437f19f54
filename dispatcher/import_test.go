package dispatcher

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tigerflow.dev/tigerflow/spool"
)

const earlierTrace = "Traceback (most recent call last):\n  File \"x.py\", line 3, in run\nValueError: no sound\n"

// earlier is a run of TigerFlow with a task of the rig's name: a is under way and has its output, b has failed, c is under way
// without a result, d is through all tasks and its output was kept, e likewise and was not, f had its copy cut off.
func earlier(r *rig) {
	r.t.Helper()
	r.t.Cleanup(func() {
		if !r.t.Failed() {
			wantEarlier(r)
		}
	})
	for path, text := range earlierFiles() {
		path = r.out(path)
		must(r.t, os.MkdirAll(filepath.Dir(path), 0o777))
		must(r.t, os.WriteFile(path, []byte(text), 0o666))
	}
	must(r.t, os.MkdirAll(r.out(".tigerflow/.symlinks"), 0o777))
	r.input("a.txt", "b.txt", "c.txt", "d.txt", "e.txt", "f.txt", "g.txt")
	for _, n := range []string{"a.txt", "b.txt", "c.txt", "f.txt"} {
		must(r.t, os.Symlink(r.in(n), r.out(".tigerflow/.symlinks/"+n)))
	}
	must(r.t, os.WriteFile(r.out("f.out"), []byte("the whole"), 0o666))
}

func earlierFiles() map[string]string {
	return map[string]string{
		".tigerflow/.finished/d.txt":     "",
		".tigerflow/.finished/e.txt":     "",
		".tigerflow/demo/a.out":          "result of a",
		".tigerflow/demo/f.out":          "the whole result of f",
		".tigerflow/demo/b.err":          earlierTrace,
		".tigerflow/demo/a.err":          "of a run before",
		".tigerflow/demo/.~tf_1.out":     "half",
		".tigerflow/demo/tmp0x1":         "half",
		".tigerflow/demo/logs/demo.err":  "what it logged",
		".tigerflow/demo/logs/demo1.out": "what it logged",
		"demo/d.out":                     "result of d",
	}
}

// wantEarlier fails the test if anything of the earlier run has changed.
func wantEarlier(r *rig) {
	r.t.Helper()
	for path, want := range earlierFiles() {
		if got, err := os.ReadFile(r.out(path)); err != nil || string(got) != want {
			r.t.Errorf("%s of the earlier run is %q, %v", path, got, err)
		}
	}
}

func (r *rig) takesOver(t *testing.T) {
	t.Helper()
	var err error
	r.earlier, err = spool.FindEarlier(r.out(""), "demo", ".txt")
	must(t, err)
	if r.earlier == nil {
		t.Fatal("the earlier run is not found")
	}
}

// wantImported fails the test unless all that was finished counts so, and nothing else.
func wantImported(r *rig) {
	r.t.Helper()
	s := r.rounds("taken over and found", func(s *Snapshot) bool { return s.Staged == 7 })
	r.want(s, 2, 0, 4, 1)
	for _, n := range []string{"a.txt", "d.txt", "e.txt", "f.txt"} {
		if r.place(n) != placeDone {
			r.t.Errorf("%s is not done", n)
		}
	}
	for path, want := range map[string]string{"a.out": "result of a", "d.out": "result of d", "f.out": "the whole result of f"} {
		if got, err := os.ReadFile(r.out(path)); err != nil || string(got) != want {
			r.t.Errorf("%s is %q, %v", path, got, err)
		}
	}
	if exists(r.out("e.out")) || exists(r.out("a.err")) {
		r.t.Error("there is what was not finished")
	}
	file, err := os.ReadFile(r.out("b.err"))
	must(r.t, err)
	for _, want := range []string{`"file": "b.txt"`, `"exception_type": "ValueError"`, `"message": "no sound"`, `line 3, in run`} {
		if !strings.Contains(string(file), want) {
			r.t.Errorf("b.err lacks %s: %s", want, file)
		}
	}
}

func TestImport(t *testing.T) {
	for _, durability := range []spool.Durability{spool.None, spool.Fsync} {
		r := newRig(t, func(s *spool.Spec) { s.Durability = durability })
		earlier(r)
		r.takesOver(t)
		r.begin()
		wantImported(r)
		r.crash()
		r.begin()
		wantImported(r)
		w := r.worker(0, 1)
		r.rounds("the rest is done", func(s *Snapshot) bool {
			w.work(0.01)
			return s.Done == 6 && s.Failed == 1
		})
	}
}

// TestImportOnce: what is retried or removed after it was taken over is run again, and not taken over again.
func TestImportOnce(t *testing.T) {
	r := newRig(t)
	earlier(r)
	r.takesOver(t)
	r.begin()
	wantImported(r)
	r.ask(spool.Request{Kind: spool.RequestRetry})
	r.rounds("b waits again", func(s *Snapshot) bool { return s.Failed == 0 && s.Pending == 3 })
	must(t, os.Remove(r.out("a.out")))
	r.close()
	r.begin()
	s := r.rounds("a waits again", func(s *Snapshot) bool { return s.Pending == 4 && s.Staged == 7 })
	r.want(s, 4, 0, 3, 0)
	w := r.worker(0, 1)
	r.rounds("all is done", func(s *Snapshot) bool {
		w.work(0.01)
		return s.Done == 7
	})
}

// TestImportCut: wherever the dispatcher is killed, the next one comes to the same end.
func TestImportCut(t *testing.T) {
	for cut := 0; ; cut++ {
		r := newRig(t)
		earlier(r)
		r.takesOver(t)
		r.begin()
		must(t, r.d.takeOver(t.Context(), r.now))
		must(t, r.lock.Flush())
		r.crash()
		ledger := filepath.Join(r.s.Path(), "dispatch", "000001", "ledger.jsonl")
		data, err := os.ReadFile(ledger)
		must(t, err)
		end := 0
		for range cut {
			_, n, _ := spool.NextRecord(data[end:])
			end += n
		}
		must(t, os.WriteFile(ledger, append(data[:end:end], "0000"...), 0o666)) // and half a record
		r.begin()
		wantImported(r)
		if t.Failed() {
			t.Fatalf("cut after %d records", cut)
		}
		if end == len(data) {
			break
		}
	}
}

// TestImportHalfway: what the disk shows when a kill came before the ledger told anything.
func TestImportHalfway(t *testing.T) {
	for name, cut := range map[string]func(r *rig){
		"linked":     func(r *rig) { must(t, os.Link(r.out(".tigerflow/demo/a.out"), r.out("a.out"))) },
		"copied":     func(r *rig) { must(t, os.WriteFile(r.out("a.out"), []byte("result of a"), 0o666)) },
		"completed":  func(r *rig) { must(t, os.WriteFile(r.out("f.out"), []byte("the whole result of f"), 0o666)) },
		"not begun":  func(r *rig) { must(t, os.Remove(r.out("f.out"))) },
		"error file": func(r *rig) { must(t, os.WriteFile(r.out("b.err"), []byte("{}"), 0o666)) },
		"half a copy": func(r *rig) {
			must(t, os.WriteFile(filepath.Join(r.s.Path(), "dispatch", "000001", ".new-output"), []byte("resu"), 0o666))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			earlier(r)
			r.takesOver(t)
			r.begin()
			r.crash()
			cut(r)
			r.begin()
			wantImported(r)
		})
	}
}

// TestImportOverwritesNothing: an output that somebody else made stays as it is.
func TestImportOverwritesNothing(t *testing.T) {
	r := newRig(t)
	earlier(r)
	must(t, os.WriteFile(r.out("a.out"), []byte("mine"), 0o666))
	r.takesOver(t)
	r.begin()
	r.rounds("taken over", func(s *Snapshot) bool { return s.Done == 4 })
	if got, err := os.ReadFile(r.out("a.out")); err != nil || string(got) != "mine" {
		t.Errorf("a.out is %q, %v", got, err)
	}
}

func TestImportOfARunningOne(t *testing.T) {
	r := newRig(t)
	earlier(r)
	r.takesOver(t)
	cmd := exec.Command("sh", "-c", "read forever", "tigerflow")
	in, err := cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _, _ = in.Close(), cmd.Wait() })
	pid := strconv.Itoa(cmd.Process.Pid)
	must(t, os.WriteFile(r.out(".tigerflow/run.pid"), []byte(pid+"\n"), 0o666))
	r.begin()
	if s := r.round(); s.Staged != 0 || s.Storage == nil || !strings.Contains(s.Storage.Message, "process "+pid) {
		t.Fatalf("%+v", s)
	}
	must(t, in.Close())
	_ = cmd.Wait()
	wantImported(r)
}
