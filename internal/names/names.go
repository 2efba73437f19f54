// Package names holds millions of file names in little memory, and sets of them.
package names

import (
	"encoding/binary"
	"hash/maphash"

	"tigerflow.dev/tigerflow/spool"
)

// File is the number of a name in a Table. Numbers are given from 0 on and never again, so arrays and bit sets by
// number stay small.
type File uint32

const pieceSize = 1 << 20 // bytes of names that are allocated at once

// Table numbers every name that it is shown. There may be millions, so it has no object for each: the bytes lie in a few
// large pieces, which the garbage collector does not look into, and the table has numbers only. A name of n bytes costs
// about n + 10 bytes, and 5 to 11 in the table.
type Table struct {
	seed   maphash.Seed
	pieces [][]byte // names one behind the other, each behind its length as a uvarint; none lies in two pieces
	start  []uint64 // by number: the piece in the upper half, the place in it in the lower one
	table  []File   // open addressing with linear probing: number + 1, or 0; a power of two long, at most 3/4 full
}

// NewTable makes one with no names.
func NewTable() Table { return Table{seed: maphash.MakeSeed(), table: make([]File, 1<<10)} }

// Len is how many names there are; their numbers are all below.
func (n *Table) Len() int { return len(n.start) }

// Find gives the number of a name that was shown before.
func (n *Table) Find(name spool.Name) (File, bool) {
	slot := n.slot(name)
	return n.table[slot] - 1, n.table[slot] != 0
}

// Number gives the number of a name, and a new one if it has none.
func (n *Table) Number(name spool.Name) File {
	slot := n.slot(name)
	if f := n.table[slot]; f != 0 {
		return f - 1
	}
	f := File(len(n.start))
	n.start = append(n.start, n.store(name))
	n.table[slot] = f + 1
	if len(n.start) > len(n.table)/4*3 {
		n.grow()
	}
	return f
}

// Name gives the name of a number.
func (n *Table) Name(f File) spool.Name { return spool.Name(n.bytes(f)) }

// bytes is Name without a copy, to be looked at only.
func (n *Table) bytes(f File) []byte {
	at := n.start[f]
	b := n.pieces[at>>32][uint32(at):]
	length, size := binary.Uvarint(b)
	return b[size : size+int(length)]
}

// slot is the place of a name in the table, or the free one that it would have.
func (n *Table) slot(name spool.Name) int {
	mask := len(n.table) - 1
	for i := int(maphash.String(n.seed, string(name))) & mask; ; i = (i + 1) & mask {
		if f := n.table[i]; f == 0 || string(n.bytes(f-1)) == string(name) {
			return i
		}
	}
}

// store puts a name behind the last one and returns where it begins.
func (n *Table) store(name spool.Name) uint64 {
	last := len(n.pieces) - 1
	need := binary.MaxVarintLen64 + len(name)
	if last < 0 || cap(n.pieces[last])-len(n.pieces[last]) < need {
		n.pieces = append(n.pieces, make([]byte, 0, max(pieceSize, need)))
		last++
	}
	at := uint64(last)<<32 | uint64(len(n.pieces[last]))
	n.pieces[last] = append(binary.AppendUvarint(n.pieces[last], uint64(len(name))), name...)
	return at
}

func (n *Table) grow() {
	n.table = make([]File, 2*len(n.table))
	mask := len(n.table) - 1
	for f := range n.start {
		i := int(maphash.Bytes(n.seed, n.bytes(File(f)))) & mask
		for n.table[i] != 0 {
			i = (i + 1) & mask
		}
		n.table[i] = File(f) + 1
	}
}

// Set is a set of files, a bit for each.
type Set []uint64

// Add puts a file in.
func (s *Set) Add(f File) {
	word := int(f / 64)
	if word >= len(*s) {
		*s = append(*s, make([]uint64, max(word+1-len(*s), len(*s)/2))...)
	}
	(*s)[word] |= 1 << (f % 64)
}

// Remove takes a file out of it.
func (s Set) Remove(f File) {
	if s.Has(f) {
		s[f/64] &^= 1 << (f % 64)
	}
}

// Has reports whether a file is in it.
func (s Set) Has(f File) bool {
	word := int(f / 64)
	return word < len(s) && s[word]&(1<<(f%64)) != 0
}
