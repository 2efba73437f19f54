package tether

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// EndWorker kills what worker id started on this machine, as far as it runs as this user, and returns when nothing of it
// is left or ctx ends. The worker itself, leader, is spared. It leads the session that user code shares with it and is
// either the caller or a child that has ended and was not yet waited for: until then its number means nobody else.
func EndWorker(ctx context.Context, id string, leader int) error {
	err := end(ctx, func(cookie string) bool { return cookie == id }, leader)
	if err != nil {
		return fmt.Errorf("ending what worker %s left behind: %w", id, err)
	}
	return nil
}

// EndWorkerOf is EndWorker for what has begun since process first did, which is the caller or lives for as long: of two jobs
// that run the same worker on one machine each ends its own.
func EndWorkerOf(ctx context.Context, id string, first int) error {
	since, alive, err := inspect(first)
	if err == nil && !alive {
		err = fmt.Errorf("process %d has ended", first)
	}
	if err == nil {
		err = endMarked(ctx, func(p process) bool { return p.cookie == id && p.started >= since.started }, 0)
	}
	if err != nil {
		return fmt.Errorf("ending what worker %s left behind: %w", id, err)
	}
	return nil
}

// EndKey kills every worker whose id begins with the key, and what it started, as EndWorker does.
func EndKey(ctx context.Context, key string) error {
	err := end(ctx, func(cookie string) bool { return strings.HasPrefix(cookie, key+".") }, 0)
	if err != nil {
		return fmt.Errorf("ending earlier workers of %s: %w", key, err)
	}
	return nil
}

// calm is how many looks in a row must find nothing: the kernel shows no environment of a process that is in the middle
// of exec.
const calm = 2

func end(ctx context.Context, ours func(cookie string) bool, leader int) error {
	return endMarked(ctx, func(p process) bool { return ours(p.cookie) }, leader)
}

func endMarked(ctx context.Context, ours func(process) bool, leader int) error {
	killed := map[identity]bool{} // these have lost their cookie with their memory, and may yet have to close their files
	marked := func(p process) bool { return ours(p) || killed[p.identity] }
	pause := time.Millisecond
	for quiet := 0; quiet < calm; {
		left, err := find(marked, leader)
		if err == nil && len(left) == 0 {
			quiet++
			continue
		}
		quiet = 0
		for _, p := range left {
			p.kill()
			killed[p.identity] = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		switch {
		case ctx.Err() == nil:
			pause = min(2*pause, time.Second)
		case err != nil:
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		default:
			return fmt.Errorf("%w: process %d (%s) is still there", ctx.Err(), left[0].pid, left[0].command)
		}
	}
	return nil
}

func find(marked func(process) bool, leader int) ([]process, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	return kin(all, marked, leader, os.Getpid()), nil
}

// kin returns those that are marked, share a session with one of the kin, or are its children: so it finds what user
// code started with an environment of its own, too. Sessions can be trusted because a worker begins in a new one, which
// nobody can join. A leader, 0 for none, is of the kin but not returned. Never returned, nor taken for a relation, are
// init, self and its ancestors.
func kin(all []process, marked func(process) bool, leader, self int) []process {
	spared, foreign := lineage(all, self), map[int]bool{0: true, 1: true}
	for _, p := range all {
		if spared[p.pid] && p.pid != leader {
			foreign[p.session] = true
		}
	}
	members, sessions := map[int]bool{}, map[int]bool{}
	if leader > 0 {
		members[leader], sessions[leader] = true, true
	}
	var found []process
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if members[p.pid] || spared[p.pid] {
				continue
			}
			if marked(p) || members[p.parent] || sessions[p.session] && !foreign[p.session] {
				members[p.pid], sessions[p.session], grown = true, true, true
				found = append(found, p)
			}
		}
	}
	return found
}

// lineage returns self, its ancestors as far as they are known, and init.
func lineage(all []process, self int) map[int]bool {
	parents := map[int]int{}
	for _, p := range all {
		parents[p.pid] = p.parent
	}
	line := map[int]bool{0: true, 1: true}
	for pid := self; !line[pid]; pid = parents[pid] {
		line[pid] = true
	}
	return line
}
