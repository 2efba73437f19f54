package dispatcher

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// model is names by plain means.
type model struct {
	numbers map[spool.Name]file
	order   []spool.Name
}

func (m *model) number(name spool.Name) file {
	f, ok := m.numbers[name]
	if !ok {
		f = file(len(m.order))
		m.numbers[name], m.order = f, append(m.order, name)
	}
	return f
}

func compareNames(t *testing.T, n *names, m *model) {
	t.Helper()
	if n.len() != len(m.order) {
		t.Fatalf("there are %d names, want %d", n.len(), len(m.order))
	}
	for f, name := range m.order {
		if got := n.name(file(f)); got != name {
			t.Fatalf("number %d is %q, want %q", f, got, name)
		}
		if got, ok := n.find(name); !ok || got != file(f) {
			t.Fatalf("%q has number %d (%t), want %d", name, got, ok, f)
		}
	}
}

// FuzzNames shows pieces of the input as names, some of them again, and asks for others.
func FuzzNames(f *testing.F) {
	f.Add([]byte("a,b,a,,bad\xff\xfe,\x00"))
	f.Add([]byte(strings.Repeat("longer and longer,", 300)))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, m := newNames(), &model{numbers: map[spool.Name]file{}}
		for piece := range strings.SplitSeq(string(data), ",") {
			name := spool.Name(piece)
			_, was := m.numbers[name]
			if _, ok := n.find(name); ok != was {
				t.Fatalf("%q is found: %t, want %t", name, ok, was)
			}
			if got, want := n.number(name), m.number(name); got != want {
				t.Fatalf("%q gets number %d, want %d", name, got, want)
			}
		}
		compareNames(t, &n, m)
	})
}

// TestNamesGrow goes over the bounds of table and pieces, with names of all lengths.
func TestNamesGrow(t *testing.T) {
	n, m := newNames(), &model{numbers: map[spool.Name]file{}}
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 30_000 {
		name := spool.Name(fmt.Sprint(i, strings.Repeat("x", rng.IntN(300))))
		if i%5_000 == 17 {
			name += spool.Name(strings.Repeat("y", pieceSize)) // longer than a piece
		}
		n.number(name)
		m.number(name)
	}
	compareNames(t, &n, m)
	if len(n.pieces) < 4 || len(n.table) < n.len() || len(n.table) > 4*n.len() {
		t.Errorf("%d names lie in %d pieces and a table of %d", n.len(), len(n.pieces), len(n.table))
	}
}

func TestFileSet(t *testing.T) {
	var s fileSet
	want := map[file]bool{}
	rng := rand.New(rand.NewPCG(2, 1))
	for range 2000 {
		f := file(rng.IntN(10_000))
		s.add(f)
		want[f] = true
	}
	for f := range file(20_000) {
		if s.has(f) != want[f] {
			t.Fatalf("%d is in the set: %t", f, s.has(f))
		}
	}
}

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

// TestNamesAreSmall holds the promise that names makes of its memory.
func TestNamesAreSmall(t *testing.T) {
	n := newNames()
	total := 0
	for i := range 100_000 {
		name := fmt.Sprintf("recording-%07d.txt", i)
		total += len(name) + len(binary.AppendUvarint(nil, uint64(len(name))))
		n.number(spool.Name(name))
	}
	held := 0
	for _, p := range n.pieces {
		held += cap(p)
	}
	if held > total+total/20+pieceSize {
		t.Errorf("%d bytes are held for %d bytes of names", held, total)
	}
	if perFile := float64(4*cap(n.table)+8*cap(n.start)) / 100_000; perFile > 24 {
		t.Errorf("%.1f bytes a name beside the names", perFile)
	}
}
