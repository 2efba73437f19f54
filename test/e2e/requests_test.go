package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tigerflow.dev/tigerflow/spool"
)

// needsModel fails on each file until the workspace has a file model.
const needsModel = "{handler: {command: [sh, -c, 'test -e $DIR/model || { echo no model >&2; exit 3; }; cp \"$1\" \"$2\"', x, '{input}', '{output}']}, failureBreaker: {first: 2}}"

// wantRun fails the test unless a command ended with this code and these words.
func (w *work) wantRun(r result, code int, words ...string) {
	w.Helper()
	if r.code != code {
		w.Fatalf("exit code %d, want %d\n%s%s", r.code, code, r.stdout, r.stderr)
	}
	for _, word := range words {
		if !strings.Contains(r.stdout+r.stderr, word) {
			w.Errorf("%q is not in\n%s%s", word, r.stdout, r.stderr)
		}
	}
}

// TestFailureBreaker: a Task whose files all fail alike pauses, says so again when it is run again, and goes on when asked.
func TestFailureBreaker(t *testing.T) {
	t.Parallel()
	w := newWork(t)
	for i := range 20 {
		w.put(numbered(i), "x")
	}
	w.task(needsModel)
	for range 2 {
		w.wantRun(w.run("run", "t.yaml"), 1, "TooManyFailures", "files failed alike: ", "tigerflow resume "+w.path("out"))
	}
	w.write("model", "")
	w.wantRun(w.run("run", "t.yaml"), 1, "TooManyFailures")
	w.wantRun(w.run("resume", "out"), 0, "t: ", "nothing works on it now")
	w.wantRun(w.run("run", "t.yaml"), 1, " of 20 files failed")
	w.wantRun(w.run("check", "out"), 0, "20 files: ", " failed, 0 waiting; ended in good order")
	w.wantRun(w.run("retry", "out", "--match", "f0000[0-9].txt"), 0, "next started")
	w.wantRun(w.run("retry", "out", "--match", "f0001*"), 0)
	if r := w.good(); strings.Contains(r.stdout, "t: 0 files in ") {
		t.Error(r.stdout)
	}
	w.wantRun(w.run("check", "out"), 0, "20 files: 20 done, 0 failed")
}

// TestRetryWhileRunning: the process that works on the files is told through the spool, and does it at once.
func TestRetryWhileRunning(t *testing.T) {
	t.Parallel()
	w := newWork(t)
	w.put("a.txt", "x")
	w.task(needsModel)
	cmd := w.command("run", "t.yaml", "--idle-timeout", "10m")
	w.must(cmd.Start())
	w.wait("the failure", func() bool { return exists(w.path("out", "a.err")) })
	w.write("model", "")
	w.wantRun(w.run("retry", "out", "--task", "t"), 0, "1 failed file is to run again", "works on it")
	w.wait("the output", func() bool { return exists(w.path("out", "a.txt")) })
	s, err := spool.Open(spool.Dir(w.path("out"), "t"))
	w.must(err)
	_, err = s.Ask(spool.Request{Kind: spool.RequestDrain})
	w.must(err)
	if code := w.waitFor(cmd); code != 1 {
		t.Errorf("exit code %d", code)
	}
	w.good()
}

// TestFollowAndStop: what works on the files is told of, and ended, from elsewhere.
func TestFollowAndStop(t *testing.T) {
	t.Parallel()
	w := newWork(t)
	for _, name := range []string{"a.txt", "b.txt"} {
		w.put(name, "x")
	}
	w.task("{handler: {command: [sh, -c, 'echo begun; until test -e $DIR/released; do sleep 0.01; done; cp \"$1\" \"$2\"', x, '{input}', '{output}']}}")
	first := w.command("run", "t.yaml")
	w.must(first.Start())
	w.wait("the first file", func() bool {
		r := w.run("logs", "out")
		return r.code == 0 && r.stdout != ""
	})
	w.wantRun(w.run("report", "out"), 0, "works on it, for default/t of embedded", "1 waiting, 1 in progress, 0 finished, 0 failed")
	w.wantRun(w.run("stop", "out", "--timeout", "0s"), 1, "t: process", "is asked to finish the files in hand and stop", "has not stopped within 0s")
	w.write("released", "")
	w.wantRun(w.run("stop", "out"), 0)
	if code := w.waitFor(first); code != 1 {
		t.Errorf("exit code %d", code)
	}
	w.wantRun(w.run("report", "out"), 0, "out: nothing works on it", "1 waiting, 0 in progress, 1 finished, 0 failed")
	w.wantRun(w.run("stop", "out"), 0, "out: nothing works on it")
	w.must(os.Remove(w.path("released")))

	second := w.command("run", "t.yaml")
	w.must(second.Start())
	w.wait("the second file", func() bool { return strings.Contains(w.run("report", "out").stdout, "0 waiting, 1 in progress") })
	w.wantRun(w.run("stop", "out", "--force"), 0, "t: stopped")
	if code := w.waitFor(second); code != 1 {
		t.Errorf("exit code %d", code)
	}
	w.write("released", "")
	w.good()
	w.wantRun(w.run("report", "out"), 0, "0 waiting, 0 in progress, 2 finished, 0 failed")
}

// TestStopServed: a Task that is served to kubectl begins nothing more, until it is asked to go on.
func TestStopServed(t *testing.T) {
	t.Parallel()
	w := newWork(t)
	w.put("a.txt", "x")
	w.task("{handler: {builtin: echo}}")
	up := w.command("up", "-f", ".")
	w.must(up.Start())
	w.wait("the output", func() bool { return exists(w.path("out", "a.txt")) })
	w.wantRun(w.run("stop", "out"), 0, "t: no worker is left; process", "begins nothing before tigerflow resume out")
	w.put("b.txt", "x")
	w.wait("the new file", func() bool {
		return strings.Contains(w.run("report", "out").stdout, "1 waiting, 0 in progress, 1 finished")
	})
	if exists(w.path("out", "b.txt")) {
		t.Error("it goes on")
	}
	w.wantRun(w.run("resume", "out"), 0)
	w.wait("the other output", func() bool { return exists(w.path("out", "b.txt")) })
	w.must(up.Process.Signal(os.Interrupt))
	if code := w.waitFor(up); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestCheckRepairs(t *testing.T) {
	t.Parallel()
	w := newWork(t)
	w.put("a.txt", "x")
	w.task("{handler: {builtin: echo}}")
	w.good()
	w.wantRun(w.run("check", "out"), 0, "1 file: 1 done, 0 failed, 0 waiting; ended in good order")
	stray := w.path("out", spool.TempName(".txt"))
	for _, path := range []string{stray, w.path("out", "a.err"), w.path("out", ".~tf_mine.txt")} {
		w.must(os.WriteFile(path, nil, 0o666))
	}
	w.wantRun(w.run("retry", "out"), 0)
	w.wantRun(w.run("check", "out"), 1, "TempInOutput", "OutputAndError")
	w.wantRun(w.run("check", "out", "--repair"), 1, "mended", ".~tf_mine.txt") // whose it is would be a guess
	w.must(os.Remove(w.path("out", ".~tf_mine.txt")))
	w.wantRun(w.run("check", "out", "--repair"), 0)
	if exists(stray) || exists(w.path("out", "a.err")) || !exists(w.path("out", "a.txt")) {
		t.Error("not mended")
	}
	s, err := spool.Open(spool.Dir(w.path("out"), "t"))
	w.must(err)
	if asked, err := s.Requests(); err != nil || len(asked) != 1 {
		t.Errorf("the request is lost: %v, %v", asked, err)
	}
}

func TestWrongDirectories(t *testing.T) {
	t.Parallel()
	w := newWork(t)
	w.put("a.txt", "x")
	w.task("{handler: {builtin: echo}}")
	w.good()
	w.must(os.MkdirAll(w.path("newer", ".tigerflow", "tasks", "t"), 0o777))
	w.write("newer/.tigerflow/tasks/t/spool.json", `{"format": 99}`)
	for _, verb := range []string{"retry", "resume", "check", "report", "stop", "logs"} {
		for _, c := range []struct {
			args  []string
			words string
		}{
			{nil, "takes one output directory"},
			{[]string{"nowhere"}, "no such file"},
			{[]string{"t.yaml"}, "is a file"},
			{[]string{"in"}, "no Task has written there"},
			{[]string{spool.Dir("out", "t")}, "is a spool"},
			{[]string{"out", "--task", "x"}, "has the Tasks t"},
			{[]string{"newer"}, "has format 99 and this tigerflow knows 1"},
		} {
			r := w.run(append([]string{verb}, c.args...)...)
			w.wantRun(r, 2, c.words)
			if len(lines(r.stderr)) != 1 || r.stdout != "" {
				t.Errorf("%s %v says %q and %q", verb, c.args, r.stdout, r.stderr)
			}
		}
	}
	w.wantRun(w.run("retry", "out", "--match", "[a"), 2, "--match")
	w.must(os.RemoveAll(w.path("newer")))
	if left, _ := filepath.Glob(w.path("out", ".tigerflow", "tasks", "t", "requests", "*")); len(left) > 0 {
		t.Errorf("asked %v", left)
	}
}
