package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/internal/cli"
	"tigerflow.dev/tigerflow/pipeline"
	"tigerflow.dev/tigerflow/spool"
)

// linePeriod is how often progress is told where it cannot be drawn.
const linePeriod = 5 * time.Second

// follower shows the progress of the objects of a run and knows when they are through.
type follower struct {
	plane     *plane
	out       io.Writer
	tasks     []*followed // those of Pipelines, too
	pipelines []*followedPipeline
	begun     time.Time
	drawn     bool                     // there is a terminal
	bar       *progressbar.ProgressBar // nil until something is drawn
	told      time.Time
	ready     bool     // all are under way, which was told
	starter   *os.File // whom it is told; nil is nobody
}

// followed is one Task of a run.
type followed struct {
	key      types.NamespacedName
	name     string            // as the user knows it
	pipeline *followedPipeline // nil if the Task is one by itself
	last     dispatcher.Snapshot
	before   int64 // files that were done or had failed before this run
	seen     bool
	done     bool
	err      error
	took     time.Duration
	notice   string
	object   v1alpha1.Task
}

// followedPipeline is one Pipeline of a run.
type followedPipeline struct {
	tasks  []*followed
	lead   *followed // which counts for all
	object v1alpha1.Pipeline
	before int64 // files that were finished or had failed before this run
	seen   bool
	done   bool
	err    error
	took   time.Duration
}

func newFollower(p *plane, out io.Writer) *follower {
	f := &follower{plane: p, out: out, begun: time.Now(), told: time.Now()}
	if file, ok := out.(*os.File); ok {
		f.drawn = term.IsTerminal(int(file.Fd()))
	}
	return f
}

// add follows an object that the API server has taken.
func (f *follower) add(u *unstructured.Unstructured) error {
	key := client.ObjectKeyFromObject(u)
	if u.GetKind() == kindTask {
		f.tasks = append(f.tasks, &followed{key: key, name: key.Name})
		return nil
	}
	p := &followedPipeline{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &p.object); err != nil {
		return cli.UsageError{Err: fmt.Errorf("%s %s: %w", u.GetKind(), u.GetName(), err)}
	}
	g, err := pipeline.New(&p.object.Spec)
	if err != nil {
		return cli.UsageError{Err: fmt.Errorf("%s %s: %w", u.GetKind(), u.GetName(), err)}
	}
	for _, task := range g.Tasks(&p.object) {
		t := &followed{key: client.ObjectKeyFromObject(task), name: task.DisplayName(), pipeline: p}
		p.tasks = append(p.tasks, t)
		if task.Spec.Pipeline.Lead != nil {
			p.lead = t
		}
	}
	f.tasks = append(f.tasks, p.tasks...)
	f.pipelines = append(f.pipelines, p)
	return nil
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

// follow returns when every object is through, or cannot go on. It looks when an object changes, and for what objects do not
// tell, less often while nothing changes.
func (f *follower) follow(ctx context.Context) error {
	period := followPeriod
	timer := time.NewTimer(period)
	defer timer.Stop()
	over := f.plane.done()
	for before := f.counts(); ; before = f.counts() {
		select {
		case <-ctx.Done():
			return nil
		case <-over:
			return errors.New("the control plane ended by itself")
		case <-f.plane.changed:
		case <-timer.C:
		}
		through, err := f.look(ctx)
		if !f.ready && f.underWay() {
			f.ready = true
			cli.TellReady(f.starter)
		}
		if err != nil || through {
			return err
		}
		f.show()
		if period = min(2*period, followRest); f.counts() != before {
			period = followPeriod
		}
		timer.Reset(period)
	}
}

// underWay reports whether the dispatchers of all Tasks run.
func (f *follower) underWay() bool {
	return !slices.ContainsFunc(f.tasks, func(t *followed) bool { return !t.seen })
}

// look brings all objects up to date and reports whether they are through.
func (f *follower) look(ctx context.Context) (bool, error) {
	for _, t := range f.tasks {
		if !t.done {
			if err := f.lookAt(ctx, t); err != nil {
				return false, err
			}
		}
	}
	for _, p := range f.pipelines {
		if !p.done {
			if err := f.lookAtPipeline(ctx, p); err != nil {
				return false, err
			}
		}
	}
	var errs []error
	through := true
	for _, t := range f.tasks {
		if t.pipeline == nil {
			through = through && t.done
			errs = append(errs, t.err)
		}
	}
	for _, p := range f.pipelines {
		through = through && p.done
		errs = append(errs, p.err)
	}
	if through {
		f.show()
		return true, errors.Join(errs...)
	}
	for _, t := range f.tasks {
		f.notice(t)
	}
	return false, nil
}

func (f *follower) lookAt(ctx context.Context, t *followed) error {
	if s := f.plane.snapshot(t.key); s != nil && !s.Recovering {
		if !t.seen {
			t.seen, t.before = true, s.Earlier
		}
		t.before = min(t.before, s.Earlier) // some may be run again
		t.last = *s
	}
	if err := f.get(ctx, t.key, &t.object); err != nil {
		return err
	}
	if t.pipeline != nil {
		return nil
	}
	t.took = time.Since(f.begun)
	t.done, t.err = verdict(&t.object)
	if t.last.Ending != "" && !t.done {
		t.done, t.err = true, stoppedBy(t.key.Name)
	}
	return nil
}

func (f *follower) lookAtPipeline(ctx context.Context, p *followedPipeline) error {
	if counts := p.lead.last.Pipeline; counts != nil {
		if !p.seen {
			p.seen, p.before = true, counts.Earlier
		}
		p.before = min(p.before, counts.Earlier)
	}
	if err := f.get(ctx, client.ObjectKeyFromObject(&p.object), &p.object); err != nil {
		return err
	}
	p.took = time.Since(f.begun)
	p.done, p.err = verdictOfPipeline(&p.object, p.tasks)
	if !p.done && !slices.ContainsFunc(p.tasks, func(t *followed) bool { return t.last.Ending == "" }) {
		p.done, p.err = true, stoppedBy(p.object.Name)
	}
	return nil
}

func stoppedBy(name string) error {
	return fmt.Errorf("%s: somebody has asked it to stop: run it again to go on", name)
}

// get reads an object as the controllers see it. A Task that its Pipeline is yet to make stays as it was, and so does all before the
// cache has begun: it tells of the first objects just before.
func (f *follower) get(ctx context.Context, key types.NamespacedName, into client.Object) error {
	err := f.plane.cached.Get(ctx, key, into)
	_, early := errors.AsType[*cache.ErrCacheNotStarted](err)
	if err != nil && !early && !apierrors.IsNotFound(err) && ctx.Err() == nil { // else the run is being ended: following it has not failed
		return fmt.Errorf("following %s: %w", key.Name, err)
	}
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
		fmt.Fprintf(f.out, "%s: %s\n", t.name, notice)
	}
	t.notice = notice
}

// counts is the files that are settled, those that there are, those that failed, and the workers.
func (f *follower) counts() (n struct{ settled, total, failed, workers int64 }) {
	for _, t := range f.tasks {
		n.workers += int64(len(t.last.Workers))
		if t.pipeline != nil {
			continue
		}
		n.total += t.last.Staged + t.last.Settling
		n.settled += t.last.Done + t.last.Failed
		n.failed += t.last.Failed
	}
	for _, p := range f.pipelines {
		lead := &p.lead.last
		n.total += lead.Settling
		if c := lead.Pipeline; c != nil {
			n.total += c.Staged + c.InProgress + c.Finished + c.Failed
			n.settled += c.Finished + c.Failed
			n.failed += c.Failed
		}
	}
	return n
}

// show draws the bar, or writes a line now and then.
func (f *follower) show() {
	n := f.counts()
	state := plural(n.workers, "worker", "workers")
	if n.failed > 0 {
		state += fmt.Sprintf(", %d failed", n.failed)
	}
	if f.drawn {
		f.draw(n.settled, n.total, state)
		return
	}
	if time.Since(f.told) >= linePeriod {
		f.told = time.Now()
		fmt.Fprintf(f.out, "%d of %d files, %s\n", n.settled, n.total, state)
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

// drains reports whether all Tasks were asked to finish what they have in hand.
func (f *follower) drains() bool {
	return !slices.ContainsFunc(f.tasks, func(t *followed) bool { return t.last.Ending != spool.RequestDrain })
}
