package spool

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// story is a spool with a past: of four inputs a and d are done and b has failed, by a worker that has ended; d was
// deleted since; c waits.
type story struct {
	t *testing.T
	s *Spool
	l *Lock
	w *Worker
}

func newStory(t *testing.T) *story {
	s := newSpool(t)
	st := &story{t: t, s: s, l: lock(t, s), w: bear(t, s, "w.0.r1")}
	for _, stem := range []string{"a", "b", "c", "d"} {
		st.input(stem)
	}
	id := feed(t, st.l, "a.txt", "b.txt", "d.txt")
	feed(t, st.l, "c.txt")
	claim(t, st.w, id)
	st.publish(st.w, "a")
	st.publish(st.w, "d")
	st.journal(st.w, Event{Kind: EventDone, Batch: id.String(), Files: []Name{"a.txt", "d.txt"}, Seconds: []float64{1, 2}})
	failure := &Failure{Type: "ValueError", Message: "bad"}
	st.journal(st.w, Event{Kind: EventFailed, Batch: id.String(), Files: []Name{"b.txt"}, Failure: failure})
	must(t, st.w.Drop(id))
	must(t, st.w.Exit(ExitIdle, nil))
	st.append(Entry{
		Kind: EntryFold, Worker: st.w.ID(), Offset: st.w.Journal.off, Done: []Name{"a.txt", "d.txt"}, Seconds: 3,
		Tried: []Try{{File: "b.txt", Failure: failure}},
	})
	_, err := st.l.WriteError("b", ErrorFile{File: "b.txt"})
	must(t, err)
	st.append(Entry{Kind: EntryFailed, File: "b.txt", Failure: failure, Attempts: 1})
	fence(t, st.l, st.w.ID())
	st.append(Entry{Kind: EntryEnded, Worker: st.w.ID(), Offset: st.w.Journal.off, Reason: string(ExitIdle)})
	must(t, os.Remove(st.in("d.txt")))
	return st
}

func (st *story) in(name string) string { return filepath.Join(string(st.s.Spec().InputDir), name) }

func (st *story) out(name string) string { return filepath.Join(string(st.s.Spec().OutputDir), name) }

func (st *story) input(stem string)       { write(st.t, st.in(stem+".txt"), stem) }
func (st *story) remove(path string)      { must(st.t, os.Remove(path)) }
func (st *story) write(path, text string) { write(st.t, path, text) }
func (st *story) append(e Entry)          { must(st.t, st.l.Append(e)) }
func (st *story) journal(w *Worker, e Event) {
	must(st.t, errors.Join(w.Journal.Append(e), w.Journal.Flush()))
}

func (st *story) publish(w *Worker, stem string) {
	st.t.Helper()
	tmp := newTemp(st.t, w)
	info, _, err := w.Inspect(tmp)
	must(st.t, err)
	if published, err := w.Publish(tmp, outputOf(st.s, stem), info); err != nil || !published {
		st.t.Fatalf("publishing %s: %t, %v", stem, published, err)
	}
}

// done has a worker publish and journal c.
func (st *story) done(w *Worker) {
	st.publish(w, "c")
	st.journal(w, Event{Kind: EventDone, Files: []Name{"c.txt"}})
}

// succeed has a second dispatcher begin.
func (st *story) succeed() {
	must(st.t, st.l.Close())
	st.l = lock(st.t, st.s)
	must(st.t, st.l.Withdraw())
}

// damage changes one byte of a file.
func (st *story) damage(path string, at int) {
	data := []byte(read(st.t, path))
	data[at] ^= 0x40
	st.write(path, string(data))
}

func (st *story) extend(path, text string) { st.write(path, read(st.t, path)+text) }

// want is what Check is to find: inputs, done, failed, waiting, and the kinds of problems.
type want struct {
	counts  [4]int
	settled []ProblemKind // after the dispatcher closed
	live    []ProblemKind // while it is at work or was killed
	notes   int
}

var storyCounts = [4]int{4, 2, 1, 1}

var checkCases = map[string]struct {
	before func(st *story) // while the dispatcher holds the lock
	after  func(st *story) // afterwards
	want   want
}{
	"all is well": {want: want{counts: storyCounts}},
	"output beside an error file": {
		after: func(st *story) { st.write(st.out("b.out"), "") },
		want:  want{counts: [4]int{4, 3, 0, 1}, settled: []ProblemKind{ProblemBoth}},
	},
	"output removed": {
		after: func(st *story) { st.remove(st.out("a.out")) },
		want:  want{counts: [4]int{4, 1, 1, 2}, settled: []ProblemKind{ProblemNoOutput}},
	},
	"output of a deleted input removed": {
		after: func(st *story) { st.remove(st.out("d.out")) },
		want:  want{counts: [4]int{3, 1, 1, 1}, settled: []ProblemKind{ProblemNoOutput}},
	},
	"output removed and requeued": {
		before: func(st *story) {
			st.remove(st.out("a.out"))
			st.append(Entry{Kind: EntryRequeued, Back: []Name{"a.txt"}, Reason: "its result was removed"})
		},
		want: want{counts: [4]int{4, 1, 1, 2}},
	},
	"error file removed": {
		after: func(st *story) { st.remove(st.out("b.err")) },
		want:  want{counts: [4]int{4, 2, 0, 2}, settled: []ProblemKind{ProblemNoError}},
	},
	"error file removed and requeued": {
		before: func(st *story) {
			st.remove(st.out("b.err"))
			st.append(Entry{Kind: EntryRequeued, Back: []Name{"b.txt"}})
		},
		want: want{counts: [4]int{4, 2, 0, 2}},
	},
	"output adopted for one that had failed": {
		before: func(st *story) {
			st.remove(st.out("b.err"))
			st.write(st.out("b.out"), "")
			st.append(Entry{Kind: EntryAdopted, Done: []Name{"b.txt"}})
		},
		want: want{counts: [4]int{4, 3, 0, 1}},
	},
	"done twice by two workers": {
		before: func(st *story) { st.append(Entry{Kind: EntryFold, Worker: "x.0.r1", Done: []Name{"a.txt"}}) },
		want:   want{counts: storyCounts, settled: []ProblemKind{ProblemTwice}, live: []ProblemKind{ProblemTwice}},
	},
	"done twice by one worker": {
		before: func(st *story) { st.append(Entry{Kind: EntryFold, Worker: st.w.ID(), Done: []Name{"a.txt"}}) },
		want:   want{counts: storyCounts, settled: []ProblemKind{ProblemTwice}, live: []ProblemKind{ProblemTwice}},
	},
	"done twice, requeued between": {
		before: func(st *story) {
			st.append(Entry{Kind: EntryRequeued, Back: []Name{"a.txt"}})
			st.append(Entry{Kind: EntryFold, Worker: "x.0.r1", Done: []Name{"a.txt"}})
		},
		want: want{counts: storyCounts},
	},
	"one record folded by two dispatchers": {
		before: func(st *story) {
			st.succeed()
			st.append(Entry{Kind: EntryFold, Worker: st.w.ID(), Offset: st.w.Journal.off, Done: []Name{"a.txt", "d.txt"}})
		},
		want: want{counts: storyCounts},
	},
	"a fold that passes over a file": {
		before: func(st *story) {
			w := bear(st.t, st.s, "w.1.r1")
			st.done(w)
			st.append(Entry{Kind: EntryFold, Worker: w.ID(), Offset: w.Journal.off})
		},
		want: want{counts: [4]int{4, 3, 1, 0}, settled: []ProblemKind{ProblemNotFolded}, live: []ProblemKind{ProblemNotFolded}},
	},
	"done, not folded yet": {
		before: func(st *story) { st.done(bear(st.t, st.s, "w.1.r1")) },
		want:   want{counts: [4]int{4, 3, 1, 0}},
	},
	"done, not folded yet, and no output": {
		before: func(st *story) {
			st.done(bear(st.t, st.s, "w.1.r1"))
			st.remove(st.out("c.out"))
		},
		want: want{counts: storyCounts, settled: []ProblemKind{ProblemNoOutput}},
	},
	"late word of a fenced worker": {
		before: func(st *story) {
			w := bear(st.t, st.s, "w.1.r1")
			fence(st.t, st.l, w.ID())
			st.journal(w, Event{Kind: EventDone, Files: []Name{"c.txt"}})
		},
		want: want{counts: storyCounts},
	},
	"journal damaged in the middle": {
		after: func(st *story) { st.damage(st.s.journalPath(st.w.ID()), 30) },
		want:  want{counts: storyCounts, settled: []ProblemKind{ProblemCorrupt}, live: []ProblemKind{ProblemCorrupt}},
	},
	"journal torn although the worker ended well": {
		after: func(st *story) { st.extend(st.s.journalPath(st.w.ID()), "00000010 12") },
		want:  want{counts: storyCounts, settled: []ProblemKind{ProblemCorrupt}, live: []ProblemKind{ProblemCorrupt}},
	},
	"journal torn by a kill": {
		before: func(st *story) {
			w := bear(st.t, st.s, "w.1.r1")
			st.done(w)
			st.append(Entry{Kind: EntryFold, Worker: w.ID(), Offset: w.Journal.off, Done: []Name{"c.txt"}})
			fence(st.t, st.l, w.ID())
			st.extend(st.s.journalPath(w.ID()), "00000010 12"+strings.Repeat("\x00", 5000))
		},
		want: want{counts: [4]int{4, 3, 1, 0}},
	},
	"whole record that says nothing": {
		after: func(st *story) { st.extend(st.s.journalPath(st.w.ID()), string(frame([]byte("7")))) },
		want:  want{counts: storyCounts, settled: []ProblemKind{ProblemCorrupt}, live: []ProblemKind{ProblemCorrupt}},
	},
	"ledger damaged in the middle": {
		after: func(st *story) { st.damage(st.s.ledgerPath(1), 30) },
		want:  want{counts: storyCounts, settled: []ProblemKind{ProblemCorrupt}},
	},
	"older ledger damaged in the middle": {
		before: (*story).succeed,
		after:  func(st *story) { st.damage(st.s.ledgerPath(1), 30) },
		want:   want{counts: storyCounts, settled: []ProblemKind{ProblemCorrupt}, live: []ProblemKind{ProblemCorrupt}},
	},
	"older ledger torn by a kill": {
		before: func(st *story) {
			must(st.t, st.l.Flush())
			st.extend(st.s.ledgerPath(1), "0000")
			st.l.Abandon()
			l, err := (&Contender{Spool: st.s, TakeOver: true}).Try()
			must(st.t, err)
			st.l = l
			must(st.t, st.l.Withdraw())
		},
		want: want{counts: storyCounts},
	},
	"temporaries of a fenced worker": {
		after: func(st *story) {
			must(st.t, os.Mkdir(st.s.tmpDir(st.w.ID()), 0o777))
			st.write(filepath.Join(st.s.tmpDir(st.w.ID()), TempName(".out")), "")
		},
		want: want{counts: storyCounts, settled: []ProblemKind{ProblemTemp}},
	},
	"worker that ended with all it had": {
		before: func(st *story) {
			w := bear(st.t, st.s, "w.1.r1")
			newTemp(st.t, w)
			claim(st.t, w, BatchID{1, 2})
			must(st.t, w.Exit(ExitError, nil))
		},
		want: want{counts: storyCounts, settled: []ProblemKind{ProblemClaim, ProblemTemp}},
	},
	"worker that ended so after the dispatcher": {
		before: func(st *story) {
			w := bear(st.t, st.s, "w.1.r1")
			newTemp(st.t, w)
			claim(st.t, w, BatchID{1, 2})
			must(st.t, w.Exit(ExitNoHeartbeat, nil))
			later := time.Now().Add(time.Hour)
			must(st.t, os.Chtimes(st.s.exitPath(w.ID()), later, later))
		},
		want: want{counts: storyCounts},
	},
	"worker that goes on without a dispatcher": {
		before: func(st *story) {
			w := bear(st.t, st.s, "w.1.r1")
			newTemp(st.t, w)
			claim(st.t, w, BatchID{1, 2})
		},
		want: want{counts: storyCounts},
	},
	"batch of an older epoch": {
		before: func(st *story) {
			zombie := st.l
			st.succeed()
			feed(st.t, zombie, "c.txt")
		},
		want: want{counts: storyCounts, settled: []ProblemKind{ProblemStale}},
	},
	"temporary in the output folder": {
		after: func(st *story) { st.write(st.out(TempName(".out")), "") },
		want:  want{counts: storyCounts, settled: []ProblemKind{ProblemStray}, live: []ProblemKind{ProblemStray}},
	},
	"files that users put there": {
		after: func(st *story) {
			st.write(st.out("mine.out"), "")
			st.write(st.out("mine.err"), "")
			st.write(st.out("README"), "")
		},
		want: want{counts: storyCounts, notes: 2},
	},
	"inputs of all kinds": {
		after: func(st *story) {
			must(st.t, os.Symlink(st.in("a.txt"), st.in("link.txt")))
			must(st.t, os.Symlink("nowhere", st.in("dangling.txt")))
			must(st.t, os.Mkdir(st.in("folder.txt"), 0o777))
			st.write(st.in("other.csv"), "")
			for _, n := range hardNames {
				st.write(st.in(n), "")
			}
		},
		want: want{counts: [4]int{4 + len(hardNames), 2, 1, 1 + len(hardNames)}}, // one hard name ends in a space, a link is added
	},
	"input folder removed": {
		after: func(st *story) { must(st.t, os.RemoveAll(string(st.s.Spec().InputDir))) },
		want:  want{counts: [4]int{3, 2, 1, 0}},
	},
}
