package progress

import (
	"iter"

	"tigerflow.dev/tigerflow/internal/names"
)

// mask is a set of tasks.
type mask uint64

// state is what became of a file in each task; a task is in one of the sets at most.
type state struct {
	done, failed mask
	gone         mask // its input was not there any more
}

func (s state) without(m mask) state {
	return state{done: s.done &^ m, failed: s.failed &^ m, gone: s.gone &^ m}
}

func (s state) and(o state) state {
	return state{done: s.done | o.done, failed: s.failed | o.failed, gone: s.gone | o.gone}
}

// begun reports whether a task is through with the file.
func (s state) begun() bool { return s.done|s.failed != 0 }

// states is the states of all files. Of the many that can be there are few at a time, so a file has the number of its
// state only: four bytes, however far it is.
type states struct {
	below         []mask // by task: those that depend on it, also by way of others
	leaves, roots mask

	files   []uint32 // by file: its state's number
	known   []counted
	numbers map[state]uint32
	free    []uint32 // numbers of states in which no file is
}

type counted struct {
	state
	n int64 // files
}

// newStates makes states in which every file has the number 0, that of no task through, which is never free.
func newStates(below []mask, leaves, roots mask) states {
	return states{below: below, leaves: leaves, roots: roots, known: make([]counted, 1), numbers: map[state]uint32{{}: 0}}
}

// of is the state of a file.
func (s *states) of(f names.File) state {
	if int(f) >= len(s.files) {
		return state{}
	}
	return s.known[s.files[f]].state
}

// change gives a file another state.
func (s *states) change(f names.File, to func(state) state) {
	for int(f) >= len(s.files) {
		s.files = append(s.files, 0)
		s.known[0].n++
	}
	from := s.files[f]
	was := s.known[from].state
	next := to(was)
	if next == was {
		return
	}
	number := s.number(next)
	s.known[number].n++
	s.files[f] = number
	if s.known[from].n--; s.known[from].n == 0 && from != 0 {
		delete(s.numbers, was)
		s.free = append(s.free, from)
	}
}

func (s *states) number(of state) uint32 {
	if number, ok := s.numbers[of]; ok {
		return number
	}
	number := uint32(len(s.known))
	if last := len(s.free) - 1; last >= 0 {
		number, s.free = s.free[last], s.free[:last]
		s.known[number].state = of
	} else {
		s.known = append(s.known, counted{state: of})
	}
	s.numbers[of] = number
	return number
}

// all gives each state that there is, and how many files are in it.
func (s *states) all() iter.Seq2[state, int64] {
	return func(yield func(state, int64) bool) {
		for _, c := range s.known {
			if c.n > 0 && !yield(c.state, c.n) {
				return
			}
		}
	}
}

// finished reports whether every task without children has succeeded.
func (s *states) finished(of state) bool { return of.done&s.leaves == s.leaves }

// settled reports whether no task has anything left to do: each has succeeded or failed, or one that it depends on has
// failed, or what a root was to begin with is gone.
func (s *states) settled(of state) bool {
	over := of.done | of.failed
	dead := of.failed | of.gone&s.roots
	for i, below := range s.below {
		if dead&(1<<i) != 0 {
			over |= 1<<i | below
		}
	}
	return over == mask(1)<<len(s.below)-1
}
