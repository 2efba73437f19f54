package fleet

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/spool"
)

const (
	// fresh is how old news of a worker may be to show that it lives. Workers give a sign every five seconds.
	fresh = 30 * time.Second
	// silence is for how long there must be no news of a worker of a Local Task whose end nobody has witnessed before another
	// one is started. Such a worker ends itself when it could not give a sign for a third of that.
	silence = 90 * time.Second
	// lookPeriod is how often it is looked, at most, which of the workers that wait have been born.
	lookPeriod = time.Second
)

// mine picks this Task's workers out of the list, and forgets what was known of all others.
func (f *Fleet) mine(all []executor.Worker) map[string]executor.Worker {
	mine := map[string]executor.Worker{}
	for _, w := range all {
		if w.ID.Key == f.spool.ID() {
			mine[w.ID.String()] = w
			f.use(w.ID)
		}
	}
	for id := range f.known {
		if _, listed := mine[id]; !listed {
			delete(f.known, id)
		}
	}
	return mine
}

// note changes what is known of a worker.
func (f *Fleet) note(id string, change func(*knowledge)) {
	k := f.known[id]
	change(&k)
	f.known[id] = k
}

// see puts what the spool tells of workers above a list that may be half a minute old: who gives signs of life runs, and
// who has left its last word has ended. The list of a Sweeper, whose workers are its own processes, is never old.
func (f *Fleet) see(now time.Time, snap *dispatcher.Snapshot, mine map[string]executor.Worker) error {
	for _, state := range snap.Workers {
		w, listed := mine[state.ID]
		if !listed {
			if w, listed = f.adopt(state.ID); !listed {
				continue
			}
		}
		f.lives(now, state.ID)
		if (waits(w) || w.Phase == executor.Unknown) && now.Sub(state.News) < fresh {
			w.Phase = executor.Running
		}
		mine[state.ID] = w
	}
	if f.swept {
		return nil
	}
	return f.lastWords(now, snap, mine)
}

// doubt keeps those workers of a Local Task among the living whose end is not certain: there are never two. What a control
// plane says of one is no witness, and neither is that it says nothing.
func (f *Fleet) doubt(now time.Time, snap *dispatcher.Snapshot, mine map[string]executor.Worker) {
	if !f.isLocal() || f.swept {
		return
	}
	for _, state := range snap.Workers {
		w, listed := mine[state.ID]
		if listed && (!w.Phase.Terminal() || w.Witnessed) || now.Sub(state.News) >= silence {
			continue
		}
		if id, err := executor.ParseWorkerID(state.ID); err == nil {
			w.ID, w.Phase, w.Ref = id, executor.Unknown, cmp.Or(w.Ref, state.ID)
			mine[state.ID] = w
		}
	}
}

func (f *Fleet) isLocal() bool { return f.spool.Spec().Type == spool.TypeLocal }

// adopt has the executor follow a worker that its list lacks, if it can.
func (f *Fleet) adopt(id string) (executor.Worker, bool) {
	a, can := f.executor.(executor.Adopter)
	parsed, err := executor.ParseWorkerID(id)
	if !can || err != nil {
		return executor.Worker{}, false
	}
	born, err := f.spool.ReadBorn(id)
	if err != nil { // its name is a help, no more
		born.Job = ""
	}
	a.Adopt(parsed, born.Job)
	return executor.Worker{ID: parsed, Phase: executor.Unknown}, true
}

// lives notes that a worker has been born.
func (f *Fleet) lives(now time.Time, id string) {
	f.note(id, func(k *knowledge) {
		if !k.at.IsZero() {
			f.took = max(1, now.Sub(k.at))
			f.least = cmp.Or(min(f.least, f.took), f.took)
		}
		f.begun = max(f.begun, k.with, 1) // of those that others have started it is not known how many came together
		k.seen, k.at = true, time.Time{}
	})
}

// lastWords finds those that have left one among the workers that the dispatcher does not show.
func (f *Fleet) lastWords(now time.Time, snap *dispatcher.Snapshot, mine map[string]executor.Worker) error {
	live := living(snap)
	for id, w := range mine {
		if w.Phase.Terminal() || live[id] {
			continue
		}
		if err := f.births(now, id, mine); err != nil {
			return err
		}
		k := f.known[id]
		if k.seen && !k.over {
			exit, err := f.lastWord(id)
			if err != nil {
				return err
			}
			// Who has asked it to end is for the list to say: after an administrator nobody is to be started at once.
			asked := exit != nil && (exit.Reason == spool.ExitDrained || exit.Reason == spool.ExitStopped)
			k.over = exit != nil && (k.stopping || !asked)
			f.known[id] = k
		}
		if k.over {
			w.Phase = executor.Succeeded // that it was not so well is in its last word
			mine[id] = w
		}
	}
	return nil
}

// births looks, once in a while, whether workers have been born that the dispatcher never showed: they lived too short.
func (f *Fleet) births(now time.Time, id string, mine map[string]executor.Worker) error {
	if f.known[id].seen || now.Sub(f.looked) < lookPeriod {
		return nil
	}
	f.looked = now
	names, err := f.spool.Workers()
	if err != nil {
		return fmt.Errorf("listing workers: %w", err)
	}
	for _, name := range names {
		if _, listed := mine[name]; listed {
			f.lives(now, name)
		}
	}
	return nil
}

func living(snap *dispatcher.Snapshot) map[string]bool {
	live := map[string]bool{}
	for _, w := range snap.Workers {
		live[w.ID] = true
	}
	return live
}

// missesUntilLost is how many good listings in a row must lack a worker before it counts as ended. Where the executor's
// workers end with it, and an earlier one's were swept, one is enough.
func (f *Fleet) missesUntilLost() int {
	if f.swept {
		return 1
	}
	return 3
}

// ends tells the dispatcher of workers that have ended.
func (f *Fleet) ends(ctx context.Context, snap *dispatcher.Snapshot, mine map[string]executor.Worker) error {
	for _, state := range snap.Workers {
		end := dispatcher.End{}
		w, listed := mine[state.ID]
		switch {
		case listed && !w.Phase.Terminal():
			delete(f.missed, state.ID)
			continue
		case listed:
			end = dispatcher.End{Blame: w.Phase.Blames(), Message: describe(w)}
		default:
			if f.missed[state.ID]++; f.missed[state.ID] < f.missesUntilLost() {
				continue
			}
			end.Message = "not there any more"
		}
		if err := f.dispatcher.WorkerEnded(ctx, state.ID, end); err != nil {
			return err
		}
		delete(f.missed, state.ID)
		delete(f.born, state.ID)
	}
	return nil
}

func describe(w executor.Worker) string {
	switch {
	case w.Reason != "":
		return w.Reason
	case w.Exit != nil:
		return w.Exit.String()
	}
	return string(w.Phase)
}

// forget drops ended workers from the executor's list once nothing depends on them. It is repeated for those that the
// executor itself does not know to have ended.
func (f *Fleet) forget(ctx context.Context, snap *dispatcher.Snapshot, mine map[string]executor.Worker) error {
	var ids []executor.WorkerID
	live := living(snap)
	for id, w := range mine {
		if w.Phase.Terminal() && !live[id] && f.known[id].told {
			ids = append(ids, w.ID)
			delete(f.born, id)
			delete(mine, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return f.executor.Forget(ctx, ids)
}
