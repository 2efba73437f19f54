package names

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"tigerflow.dev/tigerflow/spool"
)

// model is a Table by plain means.
type model struct {
	numbers map[spool.Name]File
	order   []spool.Name
}

func (m *model) number(name spool.Name) File {
	f, ok := m.numbers[name]
	if !ok {
		f = File(len(m.order))
		m.numbers[name], m.order = f, append(m.order, name)
	}
	return f
}

func compareNames(t *testing.T, n *Table, m *model) {
	t.Helper()
	if n.Len() != len(m.order) {
		t.Fatalf("there are %d names, want %d", n.Len(), len(m.order))
	}
	for f, name := range m.order {
		if got := n.Name(File(f)); got != name {
			t.Fatalf("number %d is %q, want %q", f, got, name)
		}
		if got, ok := n.Find(name); !ok || got != File(f) {
			t.Fatalf("%q has number %d (%t), want %d", name, got, ok, f)
		}
	}
}

// FuzzNames shows pieces of the input as names, some of them again, and asks for others.
func FuzzNames(f *testing.F) {
	f.Add([]byte("a,b,a,,bad\xff\xfe,\x00"))
	f.Add([]byte(strings.Repeat("longer and longer,", 300)))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, m := NewTable(), &model{numbers: map[spool.Name]File{}}
		for piece := range strings.SplitSeq(string(data), ",") {
			name := spool.Name(piece)
			_, was := m.numbers[name]
			if _, ok := n.Find(name); ok != was {
				t.Fatalf("%q is found: %t, want %t", name, ok, was)
			}
			if got, want := n.Number(name), m.number(name); got != want {
				t.Fatalf("%q gets number %d, want %d", name, got, want)
			}
		}
		compareNames(t, &n, m)
	})
}

// TestNamesGrow goes over the bounds of table and pieces, with names of all lengths.
func TestNamesGrow(t *testing.T) {
	n, m := NewTable(), &model{numbers: map[spool.Name]File{}}
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 30_000 {
		name := spool.Name(fmt.Sprint(i, strings.Repeat("x", rng.IntN(300))))
		if i%5_000 == 17 {
			name += spool.Name(strings.Repeat("y", pieceSize)) // longer than a piece
		}
		n.Number(name)
		m.number(name)
	}
	compareNames(t, &n, m)
	if len(n.pieces) < 4 || len(n.table) < n.Len() || len(n.table) > 4*n.Len() {
		t.Errorf("%d names lie in %d pieces and a table of %d", n.Len(), len(n.pieces), len(n.table))
	}
}

func TestSet(t *testing.T) {
	var s Set
	want := map[File]bool{}
	rng := rand.New(rand.NewPCG(2, 1))
	for range 2000 {
		f := File(rng.IntN(10_000))
		s.Add(f)
		want[f] = true
	}
	for f := range File(20_000) {
		if s.Has(f) != want[f] {
			t.Fatalf("%d is in the set: %t", f, s.Has(f))
		}
	}
}

// TestNamesAreSmall holds the promise that a Table makes of its memory.
func TestNamesAreSmall(t *testing.T) {
	n := NewTable()
	total := 0
	for i := range 100_000 {
		name := fmt.Sprintf("recording-%07d.txt", i)
		total += len(name) + len(binary.AppendUvarint(nil, uint64(len(name))))
		n.Number(spool.Name(name))
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
