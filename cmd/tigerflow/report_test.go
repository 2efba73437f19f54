package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/internal/cli"
	"tigerflow.dev/tigerflow/spool"
)

// books is what a pipeline on disk looks like: scan, and from it shout and count; each in its own folder but for scan, whose
// outputs are not kept.
type books struct {
	*testing.T
	dir   string
	locks map[string]*spool.Lock
}

func newBooks(t *testing.T) *books {
	b := &books{T: t, dir: t.TempDir(), locks: map[string]*spool.Lock{}}
	b.put("in/a.pdf", "in/b.pdf", "in/c.pdf", "in/d.pdf", "in/e.pdf", "in/odd")
	b.dispatch("scan", "", ".pdf", ".txt", spool.OutputsDir(b.path("out"), "scan"))
	b.dispatch("count", "scan", ".txt", ".json", b.path("out", "count"))
	b.dispatch("shout", "scan", ".txt", ".loud", b.path("out", "shout"))
	b.say("scan", spool.Entry{Kind: spool.EntryFold, Done: []spool.Name{"a.pdf", "b.pdf"}, Seconds: 3})
	b.fail("scan", "c.pdf", "not a\tPDF\nat all")
	b.say("count", spool.Entry{Kind: spool.EntryFold, Done: []spool.Name{"a.txt"}, Seconds: 0.0125})
	b.say("shout", spool.Entry{Kind: spool.EntryFold, Done: []spool.Name{"a.txt"}})
	w := b.worker("scan", "k.0.r1", "d.pdf")
	t.Cleanup(func() { _ = w.Exit(spool.ExitStopped, nil) })
	return b
}

func (b *books) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *books) path(names ...string) string {
	return filepath.Join(append([]string{b.dir}, names...)...)
}

func (b *books) put(names ...string) {
	b.Helper()
	for _, n := range names {
		b.must(os.MkdirAll(filepath.Dir(b.path(n)), 0o777))
		b.must(os.WriteFile(b.path(n), []byte("x"), 0o666))
	}
}

// dispatch makes a spool and takes its lock.
func (b *books) dispatch(task, parent, inputExt, outputExt, outputs string) {
	b.Helper()
	spec := spool.Spec{
		Task: task, Parent: parent, Type: spool.TypeLocal, InputDir: spool.Name(b.path("in")), InputExt: inputExt,
		OutputDir: spool.Name(outputs), OutputExt: outputExt, Concurrency: 1,
	}
	owner := spool.Owner{Plane: "test", Name: task}
	b.must(os.MkdirAll(outputs, 0o777))
	s, err := spool.Create(spool.Dir(b.path("out"), task), owner, spec)
	b.must(err)
	lock, err := (&spool.Contender{Spool: s, Owner: owner}).Try()
	b.must(err)
	b.locks[task] = lock
	b.Cleanup(lock.Abandon)
}

func (b *books) say(task string, e spool.Entry) {
	b.Helper()
	b.must(errors.Join(b.locks[task].Append(e), b.locks[task].Flush()))
}

func (b *books) fail(task string, file spool.Name, message string) {
	b.Helper()
	stem, _ := spool.MatchInput(string(file), b.locks[task].Spool().Spec().InputExt)
	_, err := b.locks[task].WriteError(stem, spool.ErrorFile{
		File: file, Timestamp: time.Unix(1000, 0).UTC(), ExceptionType: "ValueError", Message: message, Traceback: "line 1", Attempts: 1,
	})
	b.must(err)
	b.say(task, spool.Entry{Kind: spool.EntryFailed, File: file, Failure: &spool.Failure{Type: "ValueError", Message: message}})
}

// worker is one that has files in hand.
func (b *books) worker(task, id string, files ...spool.Name) *spool.Worker {
	b.Helper()
	lock := b.locks[task]
	w, born, err := lock.Spool().Bear(id, spool.Born{})
	b.must(err)
	if !born {
		b.Fatalf("%s is taken", id)
	}
	if len(files) > 0 {
		batch, err := lock.Feed(spool.Batch{Files: files})
		b.must(err)
		if _, ok, err := w.Claim(batch); !ok || err != nil {
			b.Fatalf("no claim: %v", err)
		}
	}
	return w
}

// tigerflow runs a command and returns its output without what differs from run to run.
func (b *books) tigerflow(code int, args ...string) string {
	b.Helper()
	var stdout, stderr bytes.Buffer
	if got := run(b.Context(), args, &stdout, &stderr); got != code {
		b.Fatalf("exit code %d, want %d\n%s%s", got, code, &stdout, &stderr)
	}
	return b.plain(stdout.String() + stderr.String())
}

var varying = regexp.MustCompile(`process \d+ on \S+?([ ,:])|since \d{4}-\S+ [0-9:]+|(last sign of life|no sign of life for) \w+`)

func (b *books) plain(text string) string {
	text = strings.ReplaceAll(text, b.dir, "DIR")
	text = varying.ReplaceAllStringFunc(text, func(s string) string {
		switch {
		case strings.HasPrefix(s, "process"):
			return "process P on H" + s[len(s)-1:]
		case strings.HasPrefix(s, "since"):
			return "since T"
		default:
			return s[:strings.LastIndexByte(s, ' ')] + " S"
		}
	})
	return text
}

func (b *books) want(got, want string) {
	b.Helper()
	if got != want {
		b.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestReportPipeline(t *testing.T) {
	b := newBooks(t)
	status := "DIR/out: scan, count: process P on H works on it, for scan of test, since T; last sign of life S ago\n"
	b.must(b.locks["shout"].Close())
	const rest = `1 waiting, 2 in progress, 1 finished, 1 failed

TASK      DONE   FAILED   RUNNING   WAITING   WORKERS   AVERAGE
scan      2      1        1         1         1         1.5s
  count   1      0        0         1         0         12.5ms
  shout   1      0        0         1         0         -

1 failure:
  scan  "c.pdf"  ValueError: not a PDF
`
	b.want(b.tigerflow(0, "report", b.path("out")), status+rest)
	b.must(b.locks["scan"].Close())
	b.must(b.locks["count"].Close())
	b.want(b.tigerflow(0, "report", b.path("out")), "DIR/out: nothing works on it\n"+rest)
	b.want(b.tigerflow(0, "report", b.path("out"), "--task", "count"), `DIR/out: nothing works on it
1 waiting, 2 in progress, 1 finished, 1 failed

TASK      DONE   FAILED   RUNNING   WAITING   WORKERS   AVERAGE
  count   1      0        0         1         0         12.5ms
`)
	b.want(b.tigerflow(0, "report", b.path("out"), "--include", "metrics"), "\nTASK      AVERAGE\nscan      1.5s\n  count   12.5ms\n  shout   -\n")
}

func TestReportErrors(t *testing.T) {
	b := newBooks(t)
	for _, stem := range []string{"a", "b", "c", "d", "e", "f"} {
		b.fail("shout", spool.Name(stem+"2.txt"), "loud")
	}
	b.must(os.Remove(b.path("out", "shout", "a2.err"))) // to be run again, soon
	b.must(os.WriteFile(b.path("out", "shout", "b2.err"), []byte("?"), 0o666))
	all := b.tigerflow(0, "report", b.path("out"), "--include", "errors")
	for _, want := range []string{
		"7 failures:\n  scan  \"c.pdf\"  ValueError: not a PDF\n  shout  \"a2.txt\"  \n  shout  \"b2.txt\"  DIR/out/shout/b2.err is damaged: ",
		"\n  shout  \"f2.txt\"  ValueError: loud\n",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in\n%s", want, all)
		}
	}
	if few := b.tigerflow(0, "report", b.path("out")); !strings.HasSuffix(few, "\"d2.txt\"  ValueError: loud\n  … and 2 more: --include errors lists all\n") {
		t.Errorf("it ends with\n%s", few)
	}
}

// TestReportJSON holds the form of the JSON.
func TestReportJSON(t *testing.T) {
	b := newBooks(t)
	var got map[string]any
	b.must(json.Unmarshal([]byte(b.tigerflow(0, "report", b.path("out"), "--json")), &got))
	status := got["status"].(map[string]any)
	if status["running"] != true || status["pid"] != float64(os.Getpid()) {
		t.Errorf("status %v", status)
	}
	holder := status["dispatchers"].([]any)[0].(map[string]any)
	if len(status["dispatchers"].([]any)) != 1 || !reflect.DeepEqual(holder["tasks"], []any{"scan", "count", "shout"}) || holder["owner"] != "scan of test" {
		t.Errorf("dispatchers %v", status["dispatchers"])
	}
	for _, key := range []string{"since", "last_seen"} {
		if _, err := time.Parse(time.RFC3339, holder[key].(string)); err != nil {
			t.Error(err)
		}
	}
	delete(got, "status")
	var want map[string]any
	b.must(json.Unmarshal([]byte(`{
		"progress": {
			"pipeline": {"finished": 1, "in_progress": 2, "candidates": 0, "staged": 1, "errored": 1},
			"tasks": [
				{"name": "scan", "processed": 2, "failed": 1, "staged": 1, "running": 1, "workers": 1},
				{"name": "count", "parent": "scan", "processed": 1, "failed": 0, "staged": 1, "running": 0, "workers": 0},
				{"name": "shout", "parent": "scan", "processed": 1, "failed": 0, "staged": 1, "running": 0, "workers": 0}
			]
		},
		"metrics": {"scan": {"summary": {"count": 2, "avg_ms": 1500}}, "count": {"summary": {"count": 1, "avg_ms": 12.5}}},
		"errors": {"scan": [{
			"file": "c.pdf", "path": "DIR/out/.tigerflow/tasks/scan/outputs/c.err", "timestamp": "1970-01-01T00:16:40Z", "exception_type": "ValueError",
			"message": "not a\tPDF\nat all", "traceback": "line 1", "attempts": 1
		}]}
	}`), &want))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	b.must(os.RemoveAll(b.path("in")))
	for _, l := range b.locks {
		b.must(l.Close())
	}
	b.want(b.tigerflow(0, "report", b.path("out"), "--json", "--include", "status,progress", "--task", "shout"), `{
  "status": {
    "running": false,
    "pid": null,
    "dispatchers": []
  },
  "progress": {
    "pipeline": {
      "finished": 1,
      "in_progress": 2,
      "candidates": null,
      "staged": null,
      "errored": 1
    },
    "tasks": [
      {
        "name": "shout",
        "parent": "scan",
        "processed": 1,
        "failed": 0,
        "staged": 1,
        "running": 0,
        "workers": 0
      }
    ]
  }
}
`)
}

// TestReportLoneTasks: each is counted by itself, also inputs in folders.
func TestReportLoneTasks(t *testing.T) {
	b := &books{T: t, dir: t.TempDir(), locks: map[string]*spool.Lock{}}
	b.put("in/a.txt", "in/b.txt", "in/.hidden/c.txt", "in/sub/c.txt")
	b.dispatch("one", "", ".txt", ".one", b.path("out"))
	b.dispatch("two", "", ".txt", ".two", b.path("out"))
	s := b.locks["two"].Spool()
	spec := *s.Spec()
	spec.Recursive = true
	b.must(b.locks["two"].Update(s.Owner(), spec))
	b.say("one", spool.Entry{Kind: spool.EntryFold, Done: []spool.Name{"a.txt"}})
	b.say("two", spool.Entry{Kind: spool.EntryFold, Done: []spool.Name{"sub/c.txt"}})
	b.want(b.tigerflow(0, "report", b.path("out"), "--include", "progress"), `one: 1 waiting, 0 in progress, 1 finished, 0 failed
two: 2 waiting, 0 in progress, 1 finished, 0 failed

TASK   DONE   FAILED   RUNNING   WAITING   WORKERS
one    1      0        0         1         0
two    1      0        0         2         0
`)
}

// TestReportStaging: inputs that steps of staging have not chosen do not wait.
func TestReportStaging(t *testing.T) {
	b := newBooks(t)
	b.put("in/f.pdf", "in/g.pdf")
	b.say("scan", spool.Entry{Kind: spool.EntryStaged, Staged: []spool.Name{"a.pdf", "b.pdf", "c.pdf", "d.pdf", "f.pdf"}})
	b.want(b.tigerflow(0, "report", b.path("out"), "--include", "progress", "--task", "scan"), `1 waiting, 2 in progress, 1 finished, 1 failed; 2 not chosen by staging

TASK   DONE   FAILED   RUNNING   WAITING   WORKERS
scan   2      1        1         1         1
`)
	if got := b.tigerflow(0, "report", b.path("out"), "--json", "--include", "progress"); !strings.Contains(got, `"candidates": 2`) {
		t.Error(got)
	}
}

// TestReportSilent: a dispatcher of another host that shows no life is not said to run.
func TestReportSilent(t *testing.T) {
	b := newBooks(t)
	long := time.Now().Add(-time.Hour)
	for task := range b.locks {
		b.must(os.Chtimes(filepath.Join(spool.Dir(b.path("out"), task), "dispatch", "000001", "lease"), long, long))
	}
	b.want(b.tigerflow(0, "report", b.path("out"), "--include", "status"),
		"DIR/out: process P on H, for scan of test, has given no sign of life for S: it is dead, or its host is cut off\n")
	if got := b.tigerflow(0, "report", b.path("out"), "--json", "--include", "status"); !strings.Contains(got, `"running": false`) {
		t.Error(got)
	}
}

func TestReportRefuses(t *testing.T) {
	b := newBooks(t)
	b.want(b.tigerflow(cli.ExitUsage, "report", b.path("out"), "--include", "status,x"), "error: --include \"x\": the sections are status, progress, metrics, errors\n")
	b.want(b.tigerflow(cli.ExitUsage, "report", b.path("out"), "--watch", "--json"), "error: --watch cannot be used with --json: repeat the command instead\n")
}

// paper is a writer to wait for.
type paper struct {
	mu   sync.Mutex
	text strings.Builder
}

func (p *paper) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *paper) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// wait waits until it says exactly this.
func (p *paper) wait(b *books, want string) {
	b.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for b.plain(p.String()) != want {
		select {
		case <-deadline:
			b.Fatalf("got:\n%s\nwant:\n%s", b.plain(p.String()), want)
		case <-tick.C:
		}
	}
}

// TestReportWatch: a line whenever something has changed, also a new Task, until the end.
func TestReportWatch(t *testing.T) {
	b := newBooks(t)
	out, ended := &paper{}, make(chan int, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { ended <- run(ctx, []string{"report", b.path("out"), "--watch"}, out, out) }()
	lines := "1 waiting, 2 in progress, 1 finished, 1 failed\n"
	out.wait(b, lines)
	b.say("count", spool.Entry{Kind: spool.EntryFold, Done: []spool.Name{"b.txt"}})
	b.say("shout", spool.Entry{Kind: spool.EntryFold, Done: []spool.Name{"b.txt"}})
	lines += "1 waiting, 1 in progress, 2 finished, 1 failed\n"
	out.wait(b, lines)
	b.dispatch("last", "count", ".json", ".end", b.path("out", "last"))
	lines += "1 waiting, 3 in progress, 0 finished, 1 failed\n"
	out.wait(b, lines)
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestScreen: what is drawn covers what was drawn before, and no more than fits.
func TestScreen(t *testing.T) {
	b := newBooks(t)
	s, err := newSurvey(b.path("out"))
	b.must(err)
	o := reportOptions{include: []string{sectionProgress}}
	b.must(s.read(o))
	var out bytes.Buffer
	height := 4
	screen := &screen{out: &out, drawn: true, height: func() int { return height }}
	for range 2 {
		b.must(screen.show(s, o))
	}
	const few = "\r\x1b[J" + noWrap + "1 waiting, 2 in progress, 1 finished, 1 failed\n\nTASK      DONE   FAILED   RUNNING   WAITING   WORKERS\n" + wrap
	b.want(out.String(), few+"\x1b[3A"+few)
	out.Reset()
	height = 0 // some terminals do not know
	b.must(screen.show(s, o))
	var all bytes.Buffer
	b.must(s.write(&all, o))
	b.want(out.String(), "\x1b[3A\r\x1b[J"+noWrap+all.String()+wrap)
}

// TestReportInputGone: what one root has done and another never will, since the input was deleted, is not in progress.
func TestReportInputGone(t *testing.T) {
	b := &books{T: t, dir: t.TempDir(), locks: map[string]*spool.Lock{}}
	b.put("in/a.pdf", "in/b.pdf")
	b.dispatch("scan", "", ".pdf", ".txt", b.path("out", "scan"))
	b.dispatch("weigh", "", ".pdf", ".kg", b.path("out", "weigh"))
	b.say("scan", spool.Entry{Kind: spool.EntryFold, Done: []spool.Name{"a.pdf", "b.pdf", "gone.pdf"}})
	b.say("weigh", spool.Entry{Kind: spool.EntryFold, Done: []spool.Name{"a.pdf"}})
	got := b.tigerflow(0, "report", b.path("out"), "--include", "progress")
	if first, _, _ := strings.Cut(got, "\n"); first != "0 waiting, 1 in progress, 1 finished, 0 failed" {
		t.Error(got)
	}
}
