package main

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/controllers/task"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/spool"
)

const (
	orphanPeriod = time.Minute
	// orphanMisses is how many good listings in a row must lack the workers of a key before it is forgotten. In ten minutes
	// a submission that was in doubt when the last bridge ended has come to light.
	orphanMisses = 10
)

// orphans ends the workers of Tasks that are no more: deleted, or abandoned to the manager, while no bridge was there.
type orphans struct {
	tasks   client.Reader // cached
	bridge  string
	workers *workers
	period  time.Duration
	log     logr.Logger

	misses map[string]int
	told   map[string]bool
}

// Start looks for orphans once a minute. The manager calls it when the caches are filled.
func (o *orphans) Start(ctx context.Context) error {
	o.misses, o.told = map[string]int{}, map[string]bool{}
	tick := time.NewTicker(o.period)
	defer tick.Stop()
	for {
		if err := o.sweep(ctx); err != nil && ctx.Err() == nil {
			o.log.Error(err, "it could not be looked for workers whose Tasks are gone; this is tried again")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// sweep drains the workers of each key whose Task is gone, and forgets the keys that have none left.
func (o *orphans) sweep(ctx context.Context) error {
	gone, foreign, err := o.find(ctx)
	if err != nil {
		return err
	}
	if err := o.workers.keys.remove(o.workers.plane, foreign...); err != nil || len(gone) == 0 {
		return err
	}
	all, err := o.workers.List(ctx)
	if err != nil {
		return err
	}
	living := map[string][]executor.WorkerID{}
	for _, w := range all {
		if !w.Phase.Terminal() {
			living[w.ID.Key] = append(living[w.ID.Key], w.ID)
		}
	}
	for _, key := range gone {
		if err := o.end(ctx, key, living[key]); err != nil {
			return err
		}
	}
	return nil
}

// end drains the workers of one key, or forgets it.
func (o *orphans) end(ctx context.Context, key string, living []executor.WorkerID) error {
	if len(living) == 0 {
		if o.misses[key]++; o.misses[key] < orphanMisses {
			return nil
		}
		delete(o.misses, key)
		delete(o.told, key)
		return o.workers.keys.remove(o.workers.plane, key)
	}
	o.misses[key] = 0
	if !o.told[key] {
		o.told[key] = true
		o.log.Info("workers whose Task is gone are asked to end", "workers", len(living), "first", living[0].String())
	}
	return o.workers.Stop(ctx, living, executor.Drain)
}

// find tells, of the keys that this bridge has started workers for, those without a Task, and those that work for somebody
// else by now: another bridge, or tigerflow run on the same output directory.
func (o *orphans) find(ctx context.Context) (gone, foreign []string, err error) {
	ours, err := o.ours(ctx)
	if err != nil {
		return nil, nil, err
	}
	for key, dir := range o.workers.keys.all() {
		s, err := spool.Open(string(dir))
		switch {
		case errors.Is(err, fs.ErrNotExist) && !ours[string(dir)]: // or else its file system may not be mounted here
			gone = append(gone, key)
		case err != nil:
			o.log.V(1).Info("a spool cannot be read; its workers are left as they are", "spool", string(dir), "error", err.Error())
		case s.ID() == key && s.Owner().Plane != o.workers.plane:
			foreign = append(foreign, key)
		case s.ID() != key || !ours[string(dir)]:
			gone = append(gone, key)
		}
	}
	return gone, foreign, nil
}

// ours is the spools of all Tasks of this bridge that there are.
func (o *orphans) ours(ctx context.Context) (map[string]bool, error) {
	var list v1alpha1.TaskList
	if err := o.tasks.List(ctx, &list); err != nil {
		return nil, err
	}
	ours := map[string]bool{}
	for i := range list.Items {
		if t := &list.Items[i]; t.Spec.BridgeName() == o.bridge {
			ours[task.PathsOf(t).Spool] = true
		}
	}
	return ours, nil
}
