package dispatcher

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// plainIndex is an index by plain means, at a time.
type plainIndex struct {
	now    time.Time
	places map[spool.Name]place
	until  map[spool.Name]time.Time
}

// FuzzIndex makes random moves and compares with plain maps.
func FuzzIndex(f *testing.F) {
	rng := rand.New(rand.NewPCG(3, 1))
	for range 20 {
		moves := make([]byte, 600)
		for i := range moves {
			moves[i] = byte(rng.Uint32())
		}
		f.Add(moves)
	}
	f.Fuzz(func(t *testing.T, moves []byte) {
		x, m := newIndex(), &plainIndex{now: time.Now(), places: map[spool.Name]place{}, until: map[spool.Name]time.Time{}}
		for ; len(moves) >= 3; moves = moves[3:] {
			name := spool.Name(fmt.Sprint(moves[1] % 40))
			if op := moves[0] % 8; op < 4 {
				m.push(x, op, name, moves[2])
			} else {
				m.pull(t, x, op, name, moves[2])
			}
			recount(t, x)
		}
		for n, p := range m.places {
			if x.at(n) != p {
				t.Fatalf("%q is in place %d, want %d", n, x.at(n), p)
			}
		}
	})
}

// push has a file wait, be done, or be delayed.
func (m *plainIndex) push(x *index, op byte, name spool.Name, arg byte) {
	switch op {
	case 0:
		x.move(name, placeWaiting)
		m.places[name] = placeWaiting
	case 1:
		x.suspect(name)
		x.move(name, placeWaiting)
		m.places[name] = placeWaiting
	case 2:
		x.move(name, placeDone)
		m.places[name] = placeDone
	default:
		m.until[name] = m.now.Add(time.Duration(arg) * time.Second)
		x.delay(name, m.until[name])
		m.places[name] = placeDelayed
	}
}

// pull lets time go by, takes a batch, or forgets a file.
func (m *plainIndex) pull(t *testing.T, x *index, op byte, name spool.Name, arg byte) {
	t.Helper()
	switch op {
	case 4, 5:
		m.now = m.now.Add(time.Duration(arg) * time.Second / 4)
		x.due(m.now)
		for n, p := range m.places {
			if p == placeDelayed && !m.until[n].After(m.now) {
				m.places[n] = placeWaiting
			}
		}
	case 6:
		files, alone := x.take(1 + int(arg%4))
		if alone && len(files) != 1 {
			t.Fatalf("%q are taken to be alone", files)
		}
		x.batch(spool.BatchID{Epoch: 1, Seq: int(x.last)}, files)
		for _, n := range files {
			if m.places[n] != placeWaiting {
				t.Fatalf("%q is taken from place %d", n, m.places[n])
			}
			m.places[n] = x.last
		}
	default:
		x.forget(name)
		m.places[name] = placeUnseen
	}
}
