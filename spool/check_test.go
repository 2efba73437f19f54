package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for name, c := range checkCases {
		for _, settled := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, settled %t", name, settled), func(t *testing.T) {
				st := newStory(t)
				if c.before != nil {
					c.before(st)
				}
				if settled {
					must(t, st.l.Close())
				} else {
					must(t, st.l.Flush())
				}
				if c.after != nil {
					c.after(st)
				}
				kinds := c.want.live
				if settled {
					kinds = c.want.settled
				}
				wantReport(t, st.s, settled, kinds, c.want)
			})
		}
	}
}

func wantReport(t *testing.T, s *Spool, settled bool, kinds []ProblemKind, w want) {
	t.Helper()
	r, err := Check(s.Path())
	must(t, err)
	var got []ProblemKind
	for _, p := range r.Problems {
		got = append(got, p.Kind)
		if p.Path == "" || p.Detail == "" || !strings.Contains(p.String(), p.Path) {
			t.Errorf("problem %q", p)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, kinds) {
		t.Errorf("problems %q, want %q", r.Problems, kinds)
	}
	if counts := [4]int{r.Inputs, r.Done, r.Failed, r.Waiting}; counts != w.counts || r.Complete != (r.Waiting == 0) {
		t.Errorf("inputs, done, failed, waiting: %v, want %v; complete: %t", counts, w.counts, r.Complete)
	}
	if r.Inputs != r.Done+r.Failed+r.Waiting || r.Settled != settled || len(r.Notes) != w.notes {
		t.Errorf("report %+v", r)
	}
}

func TestCheckUnusedSpool(t *testing.T) {
	wantReport(t, newSpool(t), true, nil, want{})
	_, err := Check(t.TempDir())
	wantIs(t, err, fs.ErrNotExist)
}

// TestCheckChangesNothing compares the tree before and after.
func TestCheckChangesNothing(t *testing.T) {
	st := newStory(t)
	tree := func() []byte {
		var b bytes.Buffer
		must(t, filepath.WalkDir(string(st.s.Spec().WorkDir), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			fmt.Fprintf(&b, "%s %s %d %s\n", path, info.Mode(), info.Size(), info.ModTime())
			return err
		}))
		return b.Bytes()
	}
	before := tree()
	_, err := Check(st.s.Path())
	must(t, err)
	if after := tree(); !bytes.Equal(before, after) {
		t.Fatalf("before:\n%s\nafter:\n%s", before, after)
	}
}

// TestCheckWhileWorking judges a spool while workers and a dispatcher are at work on it: at no moment may anything be
// wrong.
func TestCheckWhileWorking(t *testing.T) {
	const files, workers = 400, 4
	s := newSpool(t)
	l := lock(t, s)
	st := &story{t: t, s: s, l: l}
	for i := range files {
		st.input(fmt.Sprint(i))
	}
	for i := 0; i < files; i += 2 {
		feed(t, l, Name(fmt.Sprintf("%d.txt", i)), Name(fmt.Sprintf("%d.txt", i+1)))
	}
	worked := make(chan error, workers)
	tails := map[string]*Tail{}
	for i := range workers {
		w := bear(t, s, fmt.Sprintf("w.%d.r1", i))
		tails[w.ID()] = s.JournalTail(w.ID(), 0)
		go func() { worked <- workAll(s, w) }()
	}
	for done := 0; done < files; {
		ended := len(worked) == workers
		for id, tail := range tails {
			n, err := foldInto(l, id, tail)
			must(t, err)
			done += n
		}
		r, err := Check(s.Path())
		must(t, err)
		if len(r.Problems) > 0 || len(r.Notes) > 0 || r.Settled || r.Inputs != files || r.Done < done || r.Done+r.Waiting != files {
			t.Fatalf("after %d files: %+v", done, r)
		}
		if ended && done < files {
			t.Fatalf("the workers ended after %d of %d files: %v", done, files, <-worked)
		}
	}
	for range workers {
		must(t, <-worked)
	}
	must(t, l.Close())
	wantReport(t, s, true, nil, want{counts: [4]int{files, files, 0, 0}})
}

// workAll does what a worker does, until the queue is empty.
func workAll(s *Spool, w *Worker) error {
	for {
		ids, err := s.Queue()
		if err != nil || len(ids) == 0 {
			return errors.Join(err, w.Exit(ExitIdle, nil))
		}
		b, ok, err := w.Claim(ids[0])
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		for _, name := range b.Files {
			stem, _ := MatchInput(string(name), ".txt")
			tmp, err := w.NewTemp(".out")
			if err != nil {
				return err
			}
			info, _, err := w.Inspect(tmp)
			if err != nil {
				return err
			}
			if published, err := w.Publish(tmp, outputOf(s, stem), info); err != nil || !published {
				return fmt.Errorf("publishing %s: %t, %w", name, published, err)
			}
		}
		err = errors.Join(w.Journal.Append(Event{Kind: EventDone, Batch: ids[0].String(), Files: b.Files}), w.Journal.Flush(), w.Drop(ids[0]))
		if err != nil {
			return err
		}
	}
}

// foldInto does what a dispatcher does with a journal, and counts the files that are done.
func foldInto(l *Lock, worker string, tail *Tail) (int, error) {
	e := Entry{Kind: EntryFold, Worker: worker}
	err := tail.Read(func(payload []byte, end int64) error {
		var event Event
		err := json.Unmarshal(payload, &event)
		e.Done, e.Offset = append(e.Done, event.Files...), end
		return err
	})
	if err == nil && len(e.Done) > 0 {
		err = errors.Join(l.Append(e), l.Flush())
	}
	return len(e.Done), err
}

func TestProblemIsOneLine(t *testing.T) {
	for path, want := range map[string]string{
		"out/é \"b\".err": "OutputAndError: out/é \"b\".err: x",
		"out/a\nb.err":    `OutputAndError: "out/a\nb.err": x`,
		"out/\xff.err":    `OutputAndError: "out/\xff.err": x`,
	} {
		if got := (Problem{ProblemBoth, path, "x"}).String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
