// Command bench measures bin/tigerflow as a user would run it, next to a raw loop over the same files in the same run,
// and prints a table. Machines are noisy: it interleaves three rounds and gives medians; look at the ratios.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

const rounds = 3

func main() {
	files := flag.Int("files", 10000, "input files")
	dir := flag.String("dir", "", "folder to work in, on the file system to measure (default: a temporary one)")
	flag.Parse()
	if err := bench(*files, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// contender is one way to process the files.
type contender struct {
	name string
	run  func(b *bed, out string) (sample, error)
	seen []sample
}

// sample is one round of a contender.
type sample struct {
	first time.Duration // from the start to the first output; 0 for the raw loop
	total time.Duration
}

// bed is where the contenders run.
type bed struct {
	dir   string
	files int
}

func bench(files int, parent string) error {
	dir, err := os.MkdirTemp(parent, "tigerflow-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // what is left shows in the folder
	b := &bed{dir: dir, files: files}
	if err := b.makeInputs(); err != nil {
		return err
	}
	contenders := []*contender{
		{name: "raw loop: read, write, rename", run: (*bed).raw},
		{name: "echo, durability None", run: task("builtin: echo", "None")},
		{name: "Python echo, durability None", run: task("python: {module: echo.py}", "None")},
		{name: "echo, durability Fsync", run: task("builtin: echo", "Fsync")},
	}
	for round := range rounds {
		for _, c := range contenders {
			s, err := c.run(b, filepath.Join(dir, fmt.Sprintf("out-%d-%s", round, strings.Map(letters, c.name))))
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			c.seen = append(c.seen, s)
		}
	}
	if err := b.print(contenders); err != nil {
		return err
	}
	return printIdle()
}

func letters(r rune) rune {
	if r >= 'a' && r <= 'z' {
		return r
	}
	return -1
}

// makeInputs makes small files that are old enough to be taken at once.
func (b *bed) makeInputs() error {
	in := filepath.Join(b.dir, "in")
	if err := os.Mkdir(in, 0o755); err != nil {
		return err
	}
	old := time.Now().Add(-time.Hour)
	for i := range b.files {
		path := filepath.Join(in, fmt.Sprintf("%07d.txt", i))
		if err := os.WriteFile(path, fmt.Appendf(nil, "content of file %d\n", i), 0o644); err != nil {
			return err
		}
		if err := os.Chtimes(path, old, old); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(b.dir, "echo.py"), []byte(echoPy), 0o644)
}

const echoPy = `from tigerflow.tasks import LocalTask


class Echo(LocalTask):
    @staticmethod
    def run(context, input_file, output_file):
        with open(input_file, "rb") as f:
            content = f.read()
        with open(output_file, "wb") as f:
            f.write(content)
`

// raw is what any program would have to do at least.
func (b *bed) raw(out string) (sample, error) {
	if err := os.Mkdir(out, 0o755); err != nil {
		return sample{}, err
	}
	begun := time.Now()
	for i := range b.files {
		name := fmt.Sprintf("%07d.txt", i)
		content, err := os.ReadFile(filepath.Join(b.dir, "in", name))
		if err != nil {
			return sample{}, err
		}
		tmp := filepath.Join(out, ".~"+name)
		if err := os.WriteFile(tmp, content, 0o644); err != nil {
			return sample{}, err
		}
		if err := os.Rename(tmp, filepath.Join(out, name)); err != nil {
			return sample{}, err
		}
	}
	return sample{total: time.Since(begun)}, nil
}

const manifest = `apiVersion: tigerflow.dev/v1alpha1
kind: Task
metadata: {name: bench}
spec:
  type: Local
  workspace: {path: .}
  input: {directory: in, extension: .txt}
  output: {directory: %s, extension: .txt}
  handler: {%s}
  durability: %s
`

// task runs tigerflow over the files.
func task(handler, durability string) func(b *bed, out string) (sample, error) {
	return func(b *bed, out string) (sample, error) {
		file := filepath.Join(b.dir, "task.yaml")
		if err := os.WriteFile(file, fmt.Appendf(nil, manifest, filepath.Base(out), handler, durability), 0o644); err != nil {
			return sample{}, err
		}
		cmd := exec.Command("bin/tigerflow", "run", file)
		cmd.Stderr = os.Stderr
		begun := time.Now()
		if err := cmd.Start(); err != nil {
			return sample{}, err
		}
		first := make(chan time.Duration, 1)
		go func() { first <- waitForOutput(out, begun) }()
		if err := cmd.Wait(); err != nil {
			return sample{}, err
		}
		s := sample{total: time.Since(begun), first: <-first}
		return s, b.check(out)
	}
}

// waitForOutput returns when the first output was seen. There is one by the time that the run has succeeded.
func waitForOutput(out string, begun time.Time) time.Duration {
	for time.Since(begun) < time.Hour {
		entries, _ := os.ReadDir(out) // not there yet
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".txt") {
				return time.Since(begun)
			}
		}
		<-time.After(time.Millisecond)
	}
	return 0
}

func (b *bed) check(out string) error {
	found, err := filepath.Glob(filepath.Join(out, "*.txt"))
	if err == nil && len(found) != b.files {
		err = fmt.Errorf("%d outputs for %d inputs", len(found), b.files)
	}
	return err
}

func (b *bed) print(contenders []*contender) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 3, ' ', 0)
	fmt.Fprintf(w, "%d FILES\tFILES/S\tOF RAW\tFIRST OUTPUT\n", b.files)
	var base float64
	for i, c := range contenders {
		s := c.median()
		rate := float64(b.files) / (s.total - s.first).Seconds()
		first := "-"
		if i == 0 {
			base = rate
		} else {
			first = s.first.Round(time.Millisecond).String()
		}
		fmt.Fprintf(w, "%s\t%.0f\t%.2f\t%s\n", c.name, rate, rate/base, first)
	}
	return w.Flush()
}

func (c *contender) median() sample {
	byTotal := slices.SortedFunc(slices.Values(c.seen), func(a, b sample) int { return cmp.Compare(a.total, b.total) })
	return byTotal[len(byTotal)/2]
}

// printIdle measures `tigerflow up` with nothing to do.
func printIdle() error {
	cmd := exec.Command("bin/tigerflow", "up")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		return errors.Join(err, cmd.Wait())
	}
	ready := time.Since(begun)
	before, err := cpu(cmd.Process.Pid)
	if err != nil {
		return err
	}
	const watched = 20 * time.Second
	<-time.After(watched)
	after, err := cpu(cmd.Process.Pid)
	if err != nil {
		return err
	}
	rss, err := residentMiB(cmd.Process.Pid)
	if err != nil {
		return err
	}
	begun = time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	_ = cmd.Wait() // its exit code tells of the signal
	fmt.Fprintf(os.Stdout, "tigerflow up: ready after %s, %d MiB, %.2f %% of a core when idle, %s from SIGTERM to its end\n",
		ready.Round(time.Millisecond), rss, 100*(after-before).Seconds()/watched.Seconds(), time.Since(begun).Round(time.Millisecond))
	return nil
}

// cpu is the time that a process has used, proc_pid_stat(5) fields 14 and 15.
func cpu(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, err := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err, err2) // USER_HZ is 100
}

func residentMiB(pid int) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.Fields(text)[0])
			return kib / 1024, err
		}
	}
	return 0, fs.ErrNotExist
}
