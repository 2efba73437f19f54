package progress

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"tigerflow.dev/tigerflow/spool"
)

// model is a Tracker by plain means: the last word of each task on each file.
type model struct {
	tasks []Task
	word  map[string]map[string]string // by stem and task
}

func (m *model) hear(task, what string, stems []string) {
	for _, s := range stems {
		words := m.word[s]
		if words == nil {
			words = map[string]string{}
			m.word[s] = words
		}
		switch {
		case what == "failed" && words[task] == "done", what == "back":
		case what == "again":
			delete(words, task)
		case what == "adopted", what == "earlier":
			words[task] = "done"
		default:
			words[task] = what
		}
	}
}

func (m *model) parent(task string) string {
	for _, t := range m.tasks {
		if t.Name == task {
			return t.Parent
		}
	}
	return ""
}

// settled reports whether a task has nothing left to do for a file.
func (m *model) settled(words map[string]string, task string) bool {
	switch own := words[task]; {
	case own == "done", own == "failed":
		return true
	case m.parent(task) == "":
		return own == "gone"
	}
	for up := m.parent(task); up != ""; up = m.parent(up) {
		if words[up] == "failed" || words[up] == "gone" && m.parent(up) == "" {
			return true
		}
	}
	return false
}

// judge tells what is true of a file over all tasks.
func (m *model) judge(words map[string]string) (begun, finished, failed, settled bool) {
	parents := map[string]bool{}
	for _, t := range m.tasks {
		parents[t.Parent] = true
	}
	finished, settled = true, true
	for _, t := range m.tasks {
		word := words[t.Name]
		begun = begun || word == "done" || word == "failed"
		failed = failed || word == "failed"
		finished = finished && (parents[t.Name] || word == "done")
		settled = settled && m.settled(words, t.Name)
	}
	return begun, finished, failed, settled
}

func (m *model) counts() (c Counts) {
	for _, words := range m.word {
		begun, finished, failed, settled := m.judge(words)
		switch {
		case !begun:
			continue
		case finished:
			c.Finished++
		case failed:
			c.Failed++
		case settled:
			continue
		default:
			c.InProgress++
		}
		if settled {
			c.Settled++
		}
	}
	return c
}

func (m *model) task(name string) (c TaskCounts, unsettled int64) {
	for _, words := range m.word {
		_, _, _, settled := m.judge(words)
		through := true
		switch words[name] {
		case "done":
			c.Done++
		case "failed":
			c.Failed++
		default:
			if through = false; words[m.parent(name)] == "done" {
				c.Ready++
			}
		}
		if through && !settled {
			unsettled++
		}
	}
	return c, unsettled
}

func compare(t *testing.T, tracker *Tracker, m *model) {
	t.Helper()
	if got, want := tracker.Counts(), m.counts(); got != want {
		t.Fatalf("%+v, want %+v", got, want)
	}
	for _, task := range m.tasks {
		compareTask(t, tracker, m, task.Name)
	}
	for stem, words := range m.word {
		begun, finished, _, settled := m.judge(words)
		if f := tracker.File(stem); f.Finished != (begun && finished) || f.Settled != (begun && settled) {
			t.Fatalf("%q: %+v, and its tasks say %v", stem, f, words)
		}
	}
	if n := len(tracker.states.numbers); n > len(m.word)+1 {
		t.Fatalf("%d states are kept for %d files", n, len(m.word))
	}
}

func compareTask(t *testing.T, tracker *Tracker, m *model, task string) {
	t.Helper()
	want, unsettled := m.task(task)
	got := tracker.Task(task)
	if got.Done != want.Done || got.Failed != want.Failed || got.Ready != want.Ready {
		t.Fatalf("task %s: %+v, want %+v", task, got, want)
	}
	if n := tracker.Unsettled(task); n != unsettled {
		t.Fatalf("task %s: %d are not settled, want %d", task, n, unsettled)
	}
	n := int64(0)
	for stem := range tracker.Failed(task) {
		if m.word[stem][task] != "failed" {
			t.Fatalf("%q has not failed at %s", stem, task)
		}
		n++
	}
	if n != want.Failed {
		t.Fatalf("task %s: %d failed files are listed, want %d", task, n, want.Failed)
	}
}

// TestRandom has random entries come from random graphs, some of whose spools are late, over restarts, and compares one
// Tracker that reads all along and one that comes afterwards with plain maps.
func TestRandom(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			var tasks []string
			for i := range 1 + rng.IntN(8) {
				task := fmt.Sprintf("t%d", i)
				if parent := rng.IntN(i + 1); parent < i {
					task += fmt.Sprintf("<t%d", parent)
				}
				tasks = append(tasks, task)
			}
			rng.Shuffle(len(tasks), func(i, j int) { tasks[i], tasks[j] = tasks[j], tasks[i] })
			r := newRig(t, tasks...)
			tracker, m := r.tracker(), &model{tasks: r.tasks, word: map[string]map[string]string{}}
			for range 300 {
				task := r.tasks[min(rng.IntN(len(r.tasks)), rng.IntN(len(r.tasks)))].Name // the last ones come late
				switch rng.IntN(20) {
				case 0:
					r.start(task)
				case 1, 2:
					if err := tracker.Read(nil); err != nil {
						t.Fatal(err)
					}
					compare(t, tracker, m)
				default:
					what, stems := word(rng)
					r.say(task, entry(task, what, stems...))
					m.hear(task, what, stems)
				}
			}
			for _, tracker := range []*Tracker{tracker, r.tracker()} {
				if err := tracker.Read(nil); err != nil {
					t.Fatal(err)
				}
				compare(t, tracker, m)
			}
		})
	}
}

func word(rng *rand.Rand) (what string, stems []string) {
	words := []string{"done", "done", "done", "done", "adopted", "earlier", "failed", "failed", "gone", "again", "back"}
	what = words[rng.IntN(len(words))]
	n := 1 + rng.IntN(6)
	if what == "failed" {
		n = 1
	}
	for range n {
		stems = append(stems, fmt.Sprintf("d%d/f%d", rng.IntN(2), rng.IntN(12)))
	}
	return what, stems
}

func breakSpool(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "spool.json"), []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkRead reads the history of a million files, 1000 in an entry.
func BenchmarkRead(b *testing.B) {
	dir := spool.Dir(b.TempDir(), "a")
	s, err := spool.Create(dir, spool.Owner{Name: "a"}, spool.Spec{Task: "a", InputExt: ".a"})
	if err != nil {
		b.Fatal(err)
	}
	lock, err := (&spool.Contender{Spool: s}).Try()
	if err != nil {
		b.Fatal(err)
	}
	for f := 0; f < 1_000_000; f += 1000 {
		batch := make([]string, 1000)
		for k := range batch {
			batch[k] = fmt.Sprintf("recording-%07d", f+k)
		}
		if err := lock.Append(entry("a", "done", batch...)); err != nil {
			b.Fatal(err)
		}
	}
	if err := lock.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		tracker, err := New([]Task{{Name: "a", Dir: dir}})
		if err != nil {
			b.Fatal(err)
		}
		if err := tracker.Read(nil); err != nil {
			b.Fatal(err)
		}
	}
}
