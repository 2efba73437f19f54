package slurmbridge

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tigerflow.dev/tigerflow/executor"
)

// limits are what the cluster's configuration says.
type limits struct {
	maxArraySize   int           // element numbers are below it
	messageTimeout time.Duration // a request may take effect until then, whatever its sender was told
}

// Slurm's own defaults (slurm.conf).
var defaultLimits = limits{maxArraySize: 1001, messageTimeout: 10 * time.Second}

// Start submits the workers that are not known yet: those that belong together as one array.
func (e *Executor) Start(ctx context.Context, specs []executor.Spec) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-e.open.Done():
		return errClosed
	case e.submitting <- struct{}{}:
	}
	defer func() { <-e.submitting }()
	if e.open.Err() != nil {
		return errClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, s := range specs {
		if err := s.Validate(); err != nil {
			return &executor.StalledError{Reason: ReasonInvalid, Message: err.Error(), Err: err}
		}
	}
	if err := e.readLimits(ctx); err != nil {
		return err
	}
	if err := e.settled(specs); err != nil {
		return err
	}
	for _, a := range arrays(e.unknown(specs), e.limits.maxArraySize) {
		if err := e.submit(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// unknown picks the workers that are neither known nor named twice.
func (e *Executor) unknown(specs []executor.Spec) []executor.Spec {
	e.mu.Lock()
	defer e.mu.Unlock()
	seen := map[executor.WorkerID]bool{}
	var fresh []executor.Spec
	for _, s := range specs {
		if e.workers[s.ID] == nil && !seen[s.ID] {
			seen[s.ID] = true
			fresh = append(fresh, s)
		}
	}
	return fresh
}

// settled reports an error while it is not known what became of an earlier submission of one of the spools.
func (e *Executor) settled(specs []executor.Spec) error {
	for _, s := range specs {
		if e.found[s.Spool] {
			continue
		}
		left, err := readRecords(s.Spool)
		if err != nil {
			return err
		}
		e.mu.Lock()
		for _, r := range left {
			e.doubts[r.Name] = r
			e.lookIn(e.cfg.timing.soon)
		}
		e.mu.Unlock()
		e.found[s.Spool] = true
	}
	for _, s := range specs {
		for _, name := range e.Doubts(s.Spool) {
			return &executor.WaitError{
				Reason: ReasonInDoubt, Until: time.Now().Add(inDoubtPause),
				Message: "sbatch has not answered whether it took the job " + name + ": it is looked for before another one is submitted",
			}
		}
	}
	return nil
}

// arrays sorts workers into job arrays: each has what can differ by element, its flags and its log, and nothing else.
func arrays(specs []executor.Spec, maxArraySize int) []array {
	specs = slices.SortedStableFunc(slices.Values(specs), func(a, b executor.Spec) int { return a.ID.Compare(b.ID) })
	var all []array
	for _, s := range specs {
		base := s.ID.Index / maxArraySize * maxArraySize
		name := jobName(s.Task, s.ID.Key, base, s.ID.Restart)
		i := slices.IndexFunc(all, func(a array) bool { return a.name == name && together(a.specs[0], s) })
		if i < 0 {
			all = append(all, array{name: name, base: base})
			i = len(all) - 1
		}
		all[i].specs = append(all[i].specs, s)
	}
	return all
}

func together(a, b executor.Spec) bool {
	b.ID, b.Args, b.Log = a.ID, a.Args, a.Log
	return reflect.DeepEqual(a, b)
}

// submit hands one array to sbatch, at most once.
func (e *Executor) submit(ctx context.Context, a array) error {
	first := a.specs[0]
	worker, err := e.cfg.Install(binDir(first.Spool))
	if err != nil {
		return &executor.StalledError{Reason: ReasonNotRunnable, Message: "putting the worker program where the compute nodes see it: " + err.Error(), Err: err}
	}
	c := scriptConfig{worker: worker, apptainer: e.cfg.Apptainer}
	args, err := a.args(c)
	if err != nil {
		return err
	}
	script, err := a.script(c)
	if err != nil {
		return err
	}
	if err := a.makeLogDirs(); err != nil {
		return err
	}
	record, err := writeRecord(first.Spool, a.name)
	if err != nil {
		return err
	}
	out, err := e.tools.run(ctx, script, "sbatch", args...)
	var id string
	if err == nil {
		id, err = parseSubmitted(out)
	}
	if err != nil && inDoubt(err) {
		e.doubt(record)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("submitting %s: %w", a.name, err)
	}
	if left := record.remove(); left != nil {
		e.cfg.Log.Warn("a note stays behind", "error", left)
	}
	if err != nil {
		return submission(err, time.Now())
	}
	e.submitted(a, id)
	return nil
}

// binDir is where the worker program lies: beside the folder of the spools of an output directory.
func binDir(spool string) string { return filepath.Join(filepath.Dir(filepath.Dir(spool)), "bin") }

// doubt notes that it is not known whether the job is there.
func (e *Executor) doubt(r *record) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r.since = time.Now()
	e.doubts[r.Name] = r
	e.lookIn(e.cfg.timing.soon)
}

// Doubts names the jobs of a spool of which it is not known whether sbatch has submitted them.
func (e *Executor) Doubts(spool string) (names []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for name, r := range e.doubts {
		if r.path == recordPath(spool, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// submitted notes the workers of an array that sbatch has taken.
func (e *Executor) submitted(a array, id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	for _, s := range a.specs {
		w := &worker{array: id, element: s.ID.Index - a.base, drain: s.DrainTimeout, from: now}
		w.Worker = executor.Worker{ID: s.ID, Phase: executor.Pending, Ref: w.ref()}
		e.workers[s.ID] = w
		delete(e.forgotten, s.ID)
	}
	e.lookIn(e.cfg.timing.soon)
	e.notify()
}

var submittedPattern = regexp.MustCompile(`(?m)^([0-9]+)(?:;[^\n]*)?$`)

// parseSubmitted reads what sbatch --parsable prints: the job's id, and the cluster's name behind a semicolon.
func parseSubmitted(out []byte) (string, error) {
	m := submittedPattern.FindSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("sbatch printed %.200q instead of a job id", out)
	}
	return string(m[1]), nil
}

// readLimits asks for the cluster's limits once.
func (e *Executor) readLimits(ctx context.Context) error {
	if e.limits != nil {
		return nil
	}
	out, err := e.tools.run(ctx, "", "scontrol", "show", "config")
	if err != nil {
		return fmt.Errorf("asking for the limits of the cluster: %w", err)
	}
	l := parseLimits(string(out))
	e.limits = &l
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cfg.timing.messages == 0 {
		e.cfg.timing.messages = l.messageTimeout
	}
	return nil
}

// parseLimits reads lines like "MaxArraySize            = 1001" and "MessageTimeout          = 10 sec".
func parseLimits(text string) limits {
	l := defaultLimits
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, "=")
		number, _, _ := strings.Cut(strings.TrimSpace(value), " ")
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 {
			continue
		}
		switch strings.TrimSpace(name) {
		case "MaxArraySize":
			l.maxArraySize = n
		case "MessageTimeout":
			l.messageTimeout = time.Duration(n) * time.Second
		}
	}
	return l
}

// makeLogDirs makes the folders of the logs: Slurm opens no file in one that is missing, and the job's words are lost.
func (a array) makeLogDirs() error {
	for _, s := range a.specs {
		if err := os.MkdirAll(filepath.Dir(s.Log), 0o777); err != nil {
			return fmt.Errorf("making the folder of logs: %w", err)
		}
	}
	return nil
}
