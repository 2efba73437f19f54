package faults

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/internal/failpoint"
	"tigerflow.dev/tigerflow/internal/faultfs"
	"tigerflow.dev/tigerflow/spool"
)

// plan is what a seed does: all of it is drawn before anything runs.
type plan struct {
	seed      uint64
	local     bool // type Local, on one host
	scheduler bool // workers run on any host; else beside their control plane
	workers   int
	spec      spool.Spec
	cache     faultfs.Options
	grain     time.Duration
	inputs    []input
	late      []input // come while it runs
	actions   []action
	points    []string // of workers
	resumeEnd bool     // what is stopped goes on only after all is done
}

// action is something that goes wrong.
type action struct {
	what  string
	after time.Duration // since the one before
	lasts time.Duration
	n     uint64 // what it needs to choose
}

func newPlan(seed uint64, dir, self string) plan {
	rng := rand.New(rand.NewPCG(seed, 20))
	p := plan{seed: seed, workers: 1 + rng.IntN(3), scheduler: rng.IntN(2) == 0, resumeEnd: rng.IntN(2) == 0}
	if !p.scheduler && rng.IntN(4) == 0 {
		p.local, p.workers = true, 1
	}
	tree := filepath.Join(dir, "tree")
	p.spec = spool.Spec{
		Task: "demo", Type: spool.TypeLocalAsync, WorkDir: spool.Name(dir),
		InputDir: spool.Name(filepath.Join(tree, "in")), InputExt: ".in",
		OutputDir: spool.Name(filepath.Join(tree, "out")), OutputExt: ".out",
		Handler:     spool.Handler{Program: &spool.ProgramHandler{Path: spool.Name(self), Args: []string{"user"}}},
		Params:      map[string]json.RawMessage{"ledger": fmt.Appendf(nil, "%q", filepath.Join(dir, "runs"))},
		Concurrency: 1 + rng.IntN(3), Durability: spool.Fsync,
		Retry: spool.Retry{Attempts: 1 + rng.IntN(3), CrashLimit: 2 + rng.IntN(2), Backoff: spool.Duration(50 * time.Millisecond)},
	}
	if p.local {
		p.spec.Type, p.spec.Concurrency = spool.TypeLocal, 1
	}
	if rng.IntN(3) == 0 {
		p.spec.Durability = spool.None
	}
	upTo := func(most int) time.Duration { return time.Duration(rng.IntN(most)) * time.Millisecond }
	if rng.IntN(4) > 0 {
		p.cache = faultfs.Options{
			Attrs: upTo(300), Names: upTo(300), Listings: upTo(300), WriteBack: 1 + upTo(200),
			LaterFirst: rng.IntN(2) == 0, PageSize: 64 << rng.IntN(7), NoReplace: rng.IntN(4) == 0,
		}
	}
	if rng.IntN(4) == 0 {
		p.grain = time.Second
	}
	for range 10 + rng.IntN(20) {
		p.inputs = append(p.inputs, drawInput(rng, p.spec.Retry))
	}
	for range rng.IntN(8) {
		p.late = append(p.late, drawInput(rng, p.spec.Retry))
	}
	for range 4 + rng.IntN(8) {
		p.actions = append(p.actions, drawAction(rng, p))
	}
	for range rng.IntN(4) {
		p.points = append(p.points, drawPoint(rng, "worker", []string{"kill", "kill", "stop", "delay:200ms"}))
	}
	return p
}

func drawInput(rng *rand.Rand, r spool.Retry) input {
	in := input{Kind: kindOK, Size: rng.IntN(300), Delay: rng.IntN(20)}
	switch rng.IntN(20) {
	case 0:
		in.Kind = kindFail
	case 1:
		in.Kind, in.Times = kindFail, max(0, r.Attempts-1)
		if in.Times == 0 {
			in.Kind = kindOK
		}
	case 2:
		in.Kind = kindCrash
	case 3:
		in.Kind, in.Times = kindCrash, r.CrashLimit-1
	case 4:
		in.Kind, in.Times = kindStorage, 1
	case 5:
		in.Kind = kindEmpty
	case 6:
		in.Delay = 100 + rng.IntN(500)
	case 7:
		in.Size = 5000 + rng.IntN(20000)
	}
	return in
}

func drawAction(rng *rand.Rand, p plan) action {
	whats := []string{
		"kill handler", "kill worker", "kill node", "stop worker", "stop handler", "restart node", "hang", "full", "rates", "rates", "rates", "slow",
		"clock", "inputs", "stop node", "second node", "lose host",
	}
	switch {
	case p.local: // one host: there absence of a worker is never its death
		whats = whats[:14]
	case p.scheduler:
		whats = append(whats, "declare lost", "declare lost")
	}
	return action{
		what: whats[rng.IntN(len(whats))], after: time.Duration(rng.IntN(600)) * time.Millisecond,
		lasts: time.Duration(50+rng.IntN(2500)) * time.Millisecond, n: rng.Uint64(),
	}
}

// drawPoint draws a failpoint of a role.
func drawPoint(rng *rand.Rand, role string, whats []string) string {
	var points []string
	for _, p := range failpoint.Points() {
		if len(p) > len(role) && p[:len(role)] == role {
			points = append(points, p)
		}
	}
	return fmt.Sprintf("%s=%s@%d", points[rng.IntN(len(points))], whats[rng.IntN(len(whats))], 1+rng.IntN(6))
}

// rates are the faults of an action.
func rates(what string, n uint64) faultfs.Rates {
	if what == "slow" {
		return faultfs.Rates{Slow: .5, SlowFor: time.Duration(5+n%40) * time.Millisecond}
	}
	rng := rand.New(rand.NewPCG(n, 1))
	return faultfs.Rates{
		Slow: .1, SlowFor: 20 * time.Millisecond,
		Fail: .04 * rng.Float64(), Lost: .2 * rng.Float64(), LostLate: .1 * rng.Float64(), Short: .1 * rng.Float64(),
		Errnos: [][]syscall.Errno{
			{syscall.EIO},
			{syscall.ESTALE, syscall.EIO},
			{syscall.EINTR},
			{syscall.ENOSPC, syscall.EDQUOT},
			{syscall.EIO, syscall.EINTR, syscall.ESTALE},
		}[rng.IntN(5)],
	}
}
