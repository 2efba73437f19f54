package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/spool"
)

// linePeriod is how often progress is told where it cannot be drawn.
const linePeriod = 5 * time.Second

// follower shows the progress of the Tasks of a run and knows when they are through.
type follower struct {
	plane *plane
	out   io.Writer
	tasks []*followed
	begun time.Time
	drawn bool                     // there is a terminal
	bar   *progressbar.ProgressBar // nil until something is drawn
	told  time.Time
}

// followed is one Task of a run.
type followed struct {
	key    types.NamespacedName
	last   dispatcher.Snapshot
	before int64 // files that were done or had failed before this run
	seen   bool
	done   bool
	err    error
	took   time.Duration
	notice string
	object v1alpha1.Task
}

func newFollower(p *plane, out io.Writer) *follower {
	f := &follower{plane: p, out: out, begun: time.Now(), told: time.Now()}
	if file, ok := out.(*os.File); ok {
		f.drawn = term.IsTerminal(int(file.Fd()))
	}
	return f
}

// draw brings the bar up to date. There is none before it is known how many files there are.
func (f *follower) draw(settled, total int64, state string) {
	if total == 0 {
		return
	}
	if f.bar == nil {
		f.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(f.out), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
			progressbar.OptionSetItsString("files"), progressbar.OptionSetPredictTime(true), progressbar.OptionFullWidth(),
			progressbar.OptionThrottle(followPeriod))
	}
	f.bar.ChangeMax64(total)
	f.bar.Describe(state)
	_ = f.bar.Set64(settled) // it cannot be above what was just made the most
}

func (f *follower) add(key types.NamespacedName) { f.tasks = append(f.tasks, &followed{key: key}) }

// follow returns when every Task is through, or cannot go on.
func (f *follower) follow(ctx context.Context) error {
	tick := time.NewTicker(followPeriod)
	defer tick.Stop()
	over := f.plane.done()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-over:
			return errors.New("the control plane ended by itself")
		case <-tick.C:
		}
		through, err := f.look(ctx)
		if err != nil || through {
			return err
		}
		f.show()
	}
}

// look brings all Tasks up to date and reports whether they are through.
func (f *follower) look(ctx context.Context) (bool, error) {
	var errs []error
	through := true
	for _, t := range f.tasks {
		if !t.done {
			if err := f.lookAt(ctx, t); err != nil {
				return false, err
			}
		}
		through = through && t.done
		errs = append(errs, t.err)
	}
	if !through {
		for _, t := range f.tasks {
			f.notice(t)
		}
		return false, nil
	}
	f.show()
	return true, errors.Join(errs...)
}

func (f *follower) lookAt(ctx context.Context, t *followed) error {
	if s := f.plane.snapshot(t.key); s != nil && !s.Recovering {
		if !t.seen {
			t.seen, t.before = true, s.Earlier
		}
		t.last = *s
	}
	if err := f.plane.client.Get(ctx, t.key, &t.object); err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the run is being ended: following it has not failed
		}
		return fmt.Errorf("following %s: %w", t.key.Name, err)
	}
	t.done, t.err = verdict(&t.object)
	if t.last.Ending != "" && !t.done {
		t.done, t.err = true, fmt.Errorf("%s: somebody has asked it to stop: run it again to go on", t.key.Name)
	}
	t.took = time.Since(f.begun)
	return nil
}

// notice tells once of a condition that a person can do something about.
func (f *follower) notice(t *followed) {
	notice := ""
	for _, kind := range []string{v1alpha1.ConditionStalled, v1alpha1.ConditionDegraded} {
		c := meta.FindStatusCondition(t.object.Status.Conditions, kind)
		if c != nil && c.Status == "True" && c.Reason != string(v1alpha1.ReasonFilesFailed) {
			notice = c.Reason + ": " + c.Message
			break
		}
	}
	if notice != t.notice && notice != "" {
		f.clear()
		fmt.Fprintf(f.out, "%s: %s\n", t.key.Name, notice)
	}
	t.notice = notice
}

// show draws the bar, or writes a line now and then.
func (f *follower) show() {
	var total, settled, failed int64
	workers := 0
	for _, t := range f.tasks {
		total += t.last.Staged + t.last.Settling
		settled += t.last.Done + t.last.Failed
		failed += t.last.Failed
		workers += len(t.last.Workers)
	}
	state := plural(int64(workers), "worker", "workers")
	if failed > 0 {
		state += fmt.Sprintf(", %d failed", failed)
	}
	if f.drawn {
		f.draw(settled, total, state)
		return
	}
	if time.Since(f.told) >= linePeriod {
		f.told = time.Now()
		fmt.Fprintf(f.out, "%d of %d files, %s\n", settled, total, state)
	}
}

func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func (f *follower) clear() {
	if f.bar != nil {
		_ = f.bar.Clear() // of what is on the terminal only
	}
}

// stop ends the drawing.
func (f *follower) stop() {
	if f.bar != nil {
		_ = f.bar.Exit()
		fmt.Fprintln(f.out)
	}
}

// summarize prints what became of the files: the table of kubectl, and a line or more for each Task.
func (f *follower) summarize(ctx context.Context, out io.Writer) error {
	if err := printTasks(ctx, f.plane.control.RESTConfig(), out); err != nil {
		return err
	}
	for _, t := range f.tasks {
		f.summarizeTask(out, t)
	}
	return nil
}

// fresh is how many files this run brought to an end.
func (f *follower) fresh() int64 {
	var n int64
	for _, t := range f.tasks {
		n += t.fresh()
	}
	return n
}

func (t *followed) fresh() int64 { return max(0, t.last.Done+t.last.Failed-t.before) }

func (f *follower) summarizeTask(out io.Writer, t *followed) {
	n, fresh := t.last, t.fresh()
	fmt.Fprintf(out, "%s: %s in %.1fs (%.0f a second), results in %s\n", t.key.Name, plural(fresh, "file", "files"),
		t.took.Seconds(), float64(fresh)/t.took.Seconds(), t.output())
	for _, failure := range n.Recent {
		text, _, _ := strings.Cut(failure.Message, "\n")
		fmt.Fprintf(out, "  failed: %q: %s: %s\n", string(failure.File), failure.Type, text)
	}
	if more := int(n.Failed) - len(n.Recent); more > 0 {
		fmt.Fprintf(out, "  %d more failed: their .err files say why\n", more)
	}
	if left := n.Pending + n.Running + n.Settling; left > 0 {
		fmt.Fprintf(out, "  %s left: run it again to go on\n", plural(left, "file is", "files are"))
	}
}

func (t *followed) output() string {
	s := &t.object.Spec
	if filepath.IsAbs(s.Output.Directory) {
		return s.Output.Directory
	}
	return filepath.Join(s.Workspace.Path, s.Output.Directory)
}

// drains reports whether all Tasks were asked to finish what they have in hand.
func (f *follower) drains() bool {
	return !slices.ContainsFunc(f.tasks, func(t *followed) bool { return t.last.Ending != spool.RequestDrain })
}
