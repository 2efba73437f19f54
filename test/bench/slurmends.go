package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// sleeperSource sleeps for as long as its input says, and notes when it begins. An input that says crash kills it.
const sleeperSource = `import os, signal, time
from tigerflow.tasks import SlurmTask


class Sleeper(SlurmTask):
    @staticmethod
    def run(context, input_file, output_file):
        with open(os.path.join(os.path.dirname(input_file), os.pardir, "begun"), "a") as f:
            f.write(f"{os.environ['TIGERFLOW_WORKER']} {os.path.basename(input_file)} {time.time()}\n")
        with open(input_file) as f:
            word = f.read()
        if word == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(float(word))
        open(output_file, "w").close()
`

const sleeper = "python: {module: sleeper.py}"

// sleepers writes the handler, and inputs that say what it is to do.
func (g *ground) sleepers(words []string) error {
	if err := errors.Join(os.Mkdir(g.path("in"), 0o755), os.WriteFile(g.path("sleeper.py"), []byte(sleeperSource), 0o644)); err != nil {
		return err
	}
	old := time.Now().Add(-time.Hour)
	for i, word := range words {
		if err := os.WriteFile(g.path("in", inputName(i)), []byte(word), 0o644); err != nil {
			return err
		}
		if err := os.Chtimes(g.path("in", inputName(i)), old, old); err != nil {
			return err
		}
	}
	return nil
}

// begun is one run of the handler over a file.
type begun struct {
	worker, file string
	at           time.Time
}

// begun returns the runs of sleeperSource, in the order in which they began.
func (g *ground) begun() ([]begun, error) {
	f, err := os.Open(g.path("begun"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []begun
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		word := strings.Fields(lines.Text())
		if len(word) != 3 {
			return nil, fmt.Errorf("%s: line %q", f.Name(), lines.Text())
		}
		at, err := strconv.ParseFloat(word[2], 64)
		if err != nil {
			return nil, err
		}
		list = append(list, begun{word[0], word[1], time.UnixMicro(int64(at * 1e6))})
	}
	slices.SortStableFunc(list, func(a, b begun) int { return a.at.Compare(b.at) })
	return list, lines.Err()
}

// publishedAt is when a file got its name.
func publishedAt(path string) (time.Time, error) {
	var stat syscall.Stat_t
	err := syscall.Stat(path, &stat)
	return time.Unix(stat.Ctim.Unix()), err
}

// wallTime has workers come to the end of their time again and again, over files that take half a second to two seconds, and a
// few that take twenty.
func wallTime(b *bench) (list []figure, err error) {
	const workers, files, limit = 8, 1500, 2 * time.Minute
	words := make([]string, files)
	seconds := make([]time.Duration, files)
	for i := range files {
		_, share := math.Modf(float64(i) * math.Phi)
		s := 0.5 + 1.5*share
		if i%250 == 249 {
			s = 20
		}
		words[i], seconds[i] = fmt.Sprintf("%.3f", s), time.Duration(s*float64(time.Second))
	}
	g, err := b.newGround(2 * files)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	if err := g.sleepers(words); err != nil {
		return nil, err
	}
	lives := watchLives(spool.Dir(g.path("out"), "bench"))
	_, err = b.runOurs(g, ours{sleeper, "None", workers, "time: 2m"}, "in", "out", files)
	e, endErr := g.ends(lives.end(), limit)
	if err := errors.Join(err, endErr); err != nil {
		return nil, err
	}
	wrongly, p99 := 0, quantile(seconds, 0.99)
	for _, name := range e.killed {
		if i, err := strconv.Atoi(strings.TrimSuffix(name, ".txt")); err != nil || seconds[i] <= p99 {
			wrongly++
		}
	}
	what := fmt.Sprintf("Slurm, wall time %s: ", limit)
	return []figure{
		atMost(what+"files killed that take no longer than 99 of 100", float64(wrongly), 0, "files",
			fmt.Sprintf("%d killed in all at %d ends; 99 of 100 take at most %s", len(e.killed), e.count, p99)),
		atMost(what+"idle tail and killed time", 100*(e.tail+e.lost).Seconds()/e.total.Seconds(), 1, "% of worker time",
			fmt.Sprintf("tail %s, killed %s, of %s; jobs end %s early on average; %s", e.tail.Round(time.Millisecond),
				e.lost.Round(time.Millisecond), e.total.Round(time.Second), e.early.Round(time.Millisecond), load())),
	}, nil
}

// ends is what became of the time of workers that came to the end of theirs.
type ends struct {
	count  int           // of workers
	total  time.Duration // of their lives
	tail   time.Duration // from the last file that they finished to their ends
	lost   time.Duration // spent on files that were killed
	early  time.Duration // from their ends to the end of the wall time, on average
	killed []string
}

// ends takes the lives of workers that ran sleeperSource apart.
func (g *ground) ends(lives map[string]life, limit time.Duration) (*ends, error) {
	runs, err := g.begun()
	if err != nil {
		return nil, err
	}
	final, last := map[string]int{}, map[string]int{} // run of a file, of a worker
	for i, r := range runs {
		final[r.file], last[r.worker] = i, i
	}
	e := &ends{}
	for id, l := range lives {
		i, worked := last[id]
		if l.exit.Reason != spool.ExitWallTime || !worked {
			continue
		}
		life := l.exit.Time.Sub(l.born.Time)
		e.count, e.total, e.early = e.count+1, e.total+life, e.early+limit-life
		r := runs[i]
		if final[r.file] != i {
			e.killed, e.lost = append(e.killed, r.file), e.lost+l.exit.Time.Sub(r.at)
			continue
		}
		done, err := publishedAt(g.path("out", r.file))
		if err != nil {
			return nil, err
		}
		e.tail += l.exit.Time.Sub(done)
	}
	if e.count == 0 {
		return nil, errors.New("no worker has come to the end of its time")
	}
	e.early /= time.Duration(e.count)
	return e, nil
}

// life is what a worker has left of itself.
type life struct {
	born spool.Born
	exit spool.Exit
}

// watch reads what workers leave behind before their successors' births have it removed.
type watch struct {
	stop  chan struct{}
	lives chan map[string]life
}

func watchLives(dir string) *watch {
	w := &watch{make(chan struct{}), make(chan map[string]life)}
	go func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		lives := map[string]life{}
		for {
			select {
			case <-w.stop:
				collect(dir, lives)
				w.lives <- lives
				return
			case <-tick.C:
				collect(dir, lives)
			}
		}
	}()
	return w
}

func (w *watch) end() map[string]life {
	close(w.stop)
	return <-w.lives
}

func collect(dir string, lives map[string]life) {
	list, _ := filepath.Glob(filepath.Join(dir, "workers", "*", "exit.json")) // the pattern is a good one
	for _, path := range list {
		id := filepath.Base(filepath.Dir(path))
		if _, known := lives[id]; known {
			continue
		}
		var l life
		if readJSON(path, &l.exit) == nil && readJSON(filepath.Join(filepath.Dir(path), "born.json"), &l.born) == nil {
			lives[id] = l
		}
	}
}

func readJSON(path string, v any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

// crashing has one file of many kill its worker whenever it is tried.
func crashing(b *bench) (list []figure, err error) {
	const files, bad = 200, 50
	words := slices.Repeat([]string{"0.01"}, files)
	words[bad] = "crash"
	g, err := b.newGround(2 * files)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	if err := g.sleepers(words); err != nil {
		return nil, err
	}
	if _, err := b.runOurs(g, ours{sleeper, "None", 4, "time: 10m"}, "in", "out", files-1); err == nil {
		return nil, errors.New("tigerflow run does not tell of the file that was given up")
	} else if _, failed := errors.AsType[*exec.ExitError](err); !failed {
		return nil, err
	}
	_, _, found, err := published(g.path("out"))
	if err != nil {
		return nil, err
	}
	runs, err := g.begun()
	if err != nil {
		return nil, err
	}
	runs = slices.DeleteFunc(runs, func(r begun) bool { return r.file != inputName(bad) })
	told, err := publishedAt(strings.TrimSuffix(g.path("out", inputName(bad)), ".txt") + ".err")
	if err != nil {
		return nil, err
	}
	return []figure{
		atMost("Slurm, a file that crashes its worker: runs until it is given up", float64(len(runs)), 3, "runs",
			fmt.Sprintf("%s from the first to its .err; %s", told.Sub(runs[0].at).Round(time.Millisecond), load())),
		atLeast("Slurm, a file that crashes its worker: others done", float64(found)/(files-1), 1, fmt.Sprintf("%d of %d", found, files-1)),
	}, nil
}
