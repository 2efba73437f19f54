package progress

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"tigerflow.dev/tigerflow/spool"
)

// rig is the spools of a pipeline, and who dispatches them.
type rig struct {
	t     *testing.T
	tasks []Task
	locks map[string]*spool.Lock
	late  map[string]bool // have no spool yet
}

// newRig takes tasks as "name" or "name<parent".
func newRig(t *testing.T, tasks ...string) *rig {
	r := &rig{t: t, locks: map[string]*spool.Lock{}, late: map[string]bool{}}
	dir := t.TempDir()
	for _, task := range tasks {
		name, parent, _ := strings.Cut(task, "<")
		r.tasks = append(r.tasks, Task{Name: name, Dir: spool.Dir(dir, name), Parent: parent})
		r.late[name] = true
	}
	t.Cleanup(func() {
		for _, l := range r.locks {
			l.Abandon()
		}
	})
	return r
}

// start has a dispatcher of the next epoch begin, whatever became of the one before.
func (r *rig) start(task string) {
	r.t.Helper()
	dir := r.tasks[slices.IndexFunc(r.tasks, func(t Task) bool { return t.Name == task })].Dir
	s, err := spool.Create(dir, spool.Owner{Name: task}, spool.Spec{Task: task, InputExt: "." + task})
	if err != nil {
		r.t.Fatal(err)
	}
	if l := r.locks[task]; l != nil {
		l.Abandon()
	}
	c := spool.Contender{Spool: s, TakeOver: true}
	if r.locks[task], err = c.Try(); err != nil {
		r.t.Fatal(err)
	}
	r.late[task] = false
}

func (r *rig) say(task string, e spool.Entry) {
	r.t.Helper()
	if r.late[task] {
		r.start(task)
	}
	if err := errors.Join(r.locks[task].Append(e), r.locks[task].Flush()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) tracker() *Tracker {
	r.t.Helper()
	tracker, err := New(r.tasks)
	if err != nil {
		r.t.Fatal(err)
	}
	return tracker
}

// entry makes an entry of a kind, in plain words.
func entry(task, what string, stems ...string) spool.Entry {
	var files []spool.Name
	for _, s := range stems {
		files = append(files, spool.Name(s+"."+task))
	}
	switch what {
	case "done":
		return spool.Entry{Kind: spool.EntryFold, Done: files, Seconds: float64(len(files)) / 2}
	case "adopted":
		return spool.Entry{Kind: spool.EntryAdopted, Done: files}
	case "earlier":
		return spool.Entry{Kind: spool.EntryDeleting, Done: files, Deleted: files}
	case "failed":
		return spool.Entry{Kind: spool.EntryFailed, File: files[0], Failure: &spool.Failure{Type: "E"}}
	case "staged":
		return spool.Entry{Kind: spool.EntryStaged, Staged: files}
	case "gone":
		return spool.Entry{Kind: spool.EntryFold, Gone: files}
	case "again":
		return spool.Entry{Kind: spool.EntryRequeued, Back: files}
	case "back": // to be fed again, which counts for nothing
		return spool.Entry{Kind: spool.EntryFold, Back: files}
	}
	panic(what)
}

func TestCounts(t *testing.T) {
	fork := []string{"a", "b<a", "c<a"}
	for _, tt := range []struct {
		name  string
		tasks []string
		says  string // task what stem, each
		want  Counts
	}{
		{"nothing yet", fork, "", Counts{}},
		{"a lone task", []string{"a"}, "a done x, a failed y, a back z", Counts{Finished: 1, Failed: 1, Settled: 2}},
		{"begun", fork, "a done x", Counts{InProgress: 1}},
		{"one branch", fork, "a done x, b done x", Counts{InProgress: 1}},
		{"all branches", fork, "a done x, c done x, b done x", Counts{Finished: 1, Settled: 1}},
		{"an earlier run's", fork, "a earlier x, c adopted x, b adopted x", Counts{Finished: 1, Settled: 1}},
		{"a branch failed, the other goes on", fork, "a done x, b failed x", Counts{Failed: 1}},
		{"counted once", fork, "a done x, b failed x, c failed x", Counts{Failed: 1, Settled: 1}},
		{"nothing comes after a failure", fork, "a failed x", Counts{Failed: 1, Settled: 1}},
		{"an output wins", fork, "a done x, b failed x, b done x, c done x", Counts{Finished: 1, Settled: 1}},
		{"in whatever order", fork, "a done x, b done x, b failed x, c done x", Counts{Finished: 1, Settled: 1}},
		{"run again", fork, "a done x, b done x, c failed x, c again x", Counts{InProgress: 1}},
		{"again from the beginning", fork, "a failed x, a again x", Counts{}},
		{"an intermediate is made anew", fork, "a done x, b done x, c done x, a again x", Counts{Finished: 1}},
		{"not there any more", fork, "a gone x", Counts{}},
		{"gone at a branch, which gets it again", fork, "a done x, b done x, c gone x", Counts{InProgress: 1}},
		{"gone at a root, which gets it no more", []string{"a", "b", "c<b"}, "a done x, b gone x", Counts{}},
		{"back at a root", []string{"a", "b"}, "a done x, b gone x, b done x", Counts{Finished: 1, Settled: 1}},
		{"several roots", []string{"a", "b", "c<b"}, "a done x, b done x, a done y, c done x", Counts{InProgress: 1, Finished: 1, Settled: 1}},
		{"no input", fork, "a done .hidden, a done .~tf_x, a done x", Counts{InProgress: 2}},
		{"children are told of first", []string{"c<b", "b<a", "a"}, "a done x, b failed x", Counts{Failed: 1, Settled: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, tt.tasks...)
			tracker := r.tracker()
			for say := range strings.SplitSeq(tt.says, ", ") {
				if words := strings.Fields(say); len(words) == 3 {
					r.say(words[0], entry(words[0], words[1], words[2]))
				}
			}
			if err := tracker.Read(nil); err != nil {
				t.Fatal(err)
			}
			if got := tracker.Counts(); got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestTaskAndFile(t *testing.T) {
	r := newRig(t, "a", "b<a", "c<a")
	tracker := r.tracker()
	r.say("a", entry("a", "done", "sub/x", "y", "z"))
	r.say("b", entry("b", "failed", "sub/x"))
	r.say("b", entry("b", "failed", "z"))
	r.say("b", entry("b", "done", "y"))
	if err := tracker.Read(nil); err != nil {
		t.Fatal(err)
	}
	for task, want := range map[string]TaskCounts{
		"a": {Done: 3, Timed: 3, Seconds: 1.5},
		"b": {Done: 1, Failed: 2, Timed: 1, Seconds: 0.5},
		"c": {Ready: 3},
	} {
		if got := tracker.Task(task); got != want {
			t.Errorf("task %s: %+v, want %+v", task, got, want)
		}
	}
	if n := tracker.Unsettled("a"); n != 3 {
		t.Errorf("%d files of a are not settled, want 3", n)
	}
	if n := tracker.Unsettled("c"); n != 0 {
		t.Errorf("%d files of c are not settled, and it is through with none", n)
	}
	if got := slices.Collect(tracker.Failed("b")); !slices.Equal(got, []string{"sub/x", "z"}) {
		t.Errorf("b has failed on %q", got)
	}
	for stem, want := range map[string]File{"sub/x": {Done: []string{"a"}, Failed: []string{"b"}}, "x": {}} {
		if f := tracker.File(stem); !reflect.DeepEqual(f, want) {
			t.Errorf("%s: %+v, want %+v", stem, f, want)
		}
	}
	if got := tracker.Paths(); len(got) != 4 || !strings.HasSuffix(got[0], "a/dispatch/000001/ledger.jsonl") || !strings.HasSuffix(got[3], "b/dispatch") {
		t.Errorf("watched are %q", got)
	}
}

// TestStaged: what steps of staging have chosen is told from what they may choose yet.
func TestStaged(t *testing.T) {
	r := newRig(t, "a", "b", "c<a")
	tracker := r.tracker()
	r.say("a", entry("a", "done", "w"))
	r.say("b", entry("b", "gone", "w"))
	if err := tracker.Read(nil); err != nil || tracker.Stages() || tracker.File("w").Staged {
		t.Fatalf("nobody chooses, and w is %+v (%v)", tracker.File("w"), err)
	}
	r.say("a", entry("a", "staged", "x", "y", "z"))
	r.say("a", entry("a", "done", "x"))
	r.say("a", entry("a", "gone", "y"))
	r.say("b", entry("b", "gone", "z"))
	if err := tracker.Read(nil); err != nil || !tracker.Stages() {
		t.Fatalf("files are chosen: %t (%v)", tracker.Stages(), err)
	}
	for stem, want := range map[string]bool{"w": false, "x": true, "y": false, "z": true, "none": false} {
		if f := tracker.File(stem); f.Staged != want {
			t.Errorf("%s: %+v", stem, f)
		}
	}
	if got, want := tracker.Counts(), (Counts{InProgress: 2}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestReadStops: what keep has ended is taken up by the next Read, and nothing twice.
func TestReadStops(t *testing.T) {
	r := newRig(t, "a", "b<a")
	for i := range 10 {
		r.say("a", entry("a", "done", fmt.Sprint(i)))
	}
	tracker, stop := r.tracker(), errors.New("enough")
	for i := int64(0); i <= 10; i++ {
		left := 1
		err := tracker.Read(func() error {
			if left--; left < 0 {
				return stop
			}
			return nil
		})
		if want := min(i+1, 10); tracker.Task("a") != (TaskCounts{Done: want, Timed: want, Seconds: float64(want) / 2}) {
			t.Fatalf("after %d times: %+v", i+1, tracker.Task("a"))
		}
		if i < 9 && !errors.Is(err, stop) || i >= 9 && err != nil {
			t.Fatalf("time %d: error %v", i+1, err)
		}
	}
}

// TestForsake asks of few files at a time, and of each in the end; what a root says afterwards holds.
func TestForsake(t *testing.T) {
	r := newRig(t, "a", "b", "c<a")
	r.say("a", entry("a", "done", "v", "w", "x", "y"))
	r.say("b", entry("b", "done", "w"))
	r.say("c", entry("c", "done", "v", "w", "x", "y"))
	tracker := r.tracker()
	read := func() {
		t.Helper()
		if err := tracker.Read(nil); err != nil {
			t.Fatal(err)
		}
	}
	read()
	var asked []string
	gone := func(stem string) bool {
		asked = append(asked, stem)
		return stem != "y"
	}
	want := Counts{InProgress: 1, Finished: 1, Settled: 1}
	for i := range 3 {
		tracker.Forsake(2, gone)
		if got := tracker.Counts(); got != want {
			t.Errorf("round %d: %+v, want %+v", i, got, want)
		}
	}
	if got := strings.Join(asked, ""); got != "vxyyy" {
		t.Errorf("asked of %s", got)
	}
	r.say("b", entry("b", "done", "x", "y"))
	read()
	if got := tracker.Counts(); got != (Counts{Finished: 3, Settled: 3}) {
		t.Errorf("after all: %+v", got)
	}
}

// TestOneHistoryBroken: the others are told all the same.
func TestOneHistoryBroken(t *testing.T) {
	r := newRig(t, "a", "b<a")
	r.say("b", entry("b", "done", "x"))
	breakSpool(t, r.tasks[0].Dir)
	tracker := r.tracker()
	err := tracker.Read(nil)
	if err == nil || !strings.HasPrefix(err.Error(), "reading the history of task a: ") {
		t.Errorf("error %v", err)
	}
	if got := tracker.Task("b").Done; got != 1 {
		t.Errorf("%d done", got)
	}
}

func TestNewRefuses(t *testing.T) {
	many := make([]Task, MostTasks+1)
	for i := range many {
		many[i].Name = fmt.Sprint(i)
	}
	for _, tt := range []struct {
		tasks []Task
		want  string
	}{
		{many, "65 tasks: a pipeline has at most 64"},
		{[]Task{{Name: "a"}, {Name: "a"}}, "two tasks are called a"},
		{[]Task{{Name: "a", Parent: "b"}}, "task a takes the outputs of b, which is no task of the pipeline"},
		{[]Task{{Name: "a"}, {Name: "b", Parent: "c"}, {Name: "c", Parent: "b"}}, "task b depends on itself, by way of c"},
		{[]Task{{Name: "a", Parent: "a"}}, "task a depends on itself, by way of a"},
	} {
		if _, err := New(tt.tasks); err == nil || err.Error() != tt.want {
			t.Errorf("error %v, want %s", err, tt.want)
		}
	}
	if _, err := New(many[:MostTasks]); err != nil {
		t.Errorf("%d tasks: %v", MostTasks, err)
	}
}

// TestFilesAreSmall holds the promise of the memory that a file takes, wherever it is: 60 MB for a million with names of 17 bytes.
func TestFilesAreSmall(t *testing.T) {
	const files = 200_000
	r := newRig(t, "a", "b<a", "c<b")
	before := heap()
	tracker := r.tracker()
	for i, own := range tracker.tasks {
		own.ext = "." + own.Name
		for f := 0; f < files; f += 1000 {
			batch := make([]spool.Name, 1000)
			for k := range batch {
				batch[k] = spool.Name(fmt.Sprintf("recording-%07d.%s", f+k, own.Name))
			}
			tracker.fold(own, spool.Entry{Kind: spool.EntryFold, Done: batch})
		}
		want := Counts{InProgress: files}
		if i == 2 {
			want = Counts{Finished: files, Settled: files}
		}
		if got := tracker.Counts(); got != want {
			t.Errorf("after %s: %+v, want %+v", own.Name, got, want)
		}
		if each := float64(heap()-before) / files; each > 60 {
			t.Errorf("after %s: %.1f bytes a file", own.Name, each)
		}
	}
	if n := len(tracker.states.known); n > 5 {
		t.Errorf("%d states for files that took one way", n)
	}
	runtime.KeepAlive(tracker)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
