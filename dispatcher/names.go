package dispatcher

import (
	"encoding/binary"
	"hash/maphash"

	"tigerflow.dev/tigerflow/spool"
)

// file is the number of a name in the index. Numbers are given from 0 on and never again, so arrays and bit sets by
// number stay small.
type file uint32

const pieceSize = 1 << 20 // bytes of names that are allocated at once

// names numbers every name that it is shown. There may be millions, so it has no object for each: the bytes lie in a few
// large pieces, which the garbage collector does not look into, and the table has numbers only. A name of n bytes costs
// about n + 10 bytes, and 5 to 11 in the table.
type names struct {
	seed   maphash.Seed
	pieces [][]byte // names one behind the other, each behind its length as a uvarint; none lies in two pieces
	start  []uint64 // by number: the piece in the upper half, the place in it in the lower one
	table  []file   // open addressing with linear probing: number + 1, or 0; a power of two long, at most 3/4 full
}

func newNames() names { return names{seed: maphash.MakeSeed(), table: make([]file, 1<<10)} }

// len is how many names there are; their numbers are all below.
func (n *names) len() int { return len(n.start) }

// find gives the number of a name that was shown before.
func (n *names) find(name spool.Name) (file, bool) {
	slot := n.slot(name)
	return n.table[slot] - 1, n.table[slot] != 0
}

// number gives the number of a name, and a new one if it has none.
func (n *names) number(name spool.Name) file {
	slot := n.slot(name)
	if f := n.table[slot]; f != 0 {
		return f - 1
	}
	f := file(len(n.start))
	n.start = append(n.start, n.store(name))
	n.table[slot] = f + 1
	if len(n.start) > len(n.table)/4*3 {
		n.grow()
	}
	return f
}

// name gives the name of a number.
func (n *names) name(f file) spool.Name { return spool.Name(n.bytes(f)) }

// bytes is name without a copy, to be looked at only.
func (n *names) bytes(f file) []byte {
	at := n.start[f]
	b := n.pieces[at>>32][uint32(at):]
	length, size := binary.Uvarint(b)
	return b[size : size+int(length)]
}

// slot is the place of a name in the table, or the free one that it would have.
func (n *names) slot(name spool.Name) int {
	mask := len(n.table) - 1
	for i := int(maphash.String(n.seed, string(name))) & mask; ; i = (i + 1) & mask {
		if f := n.table[i]; f == 0 || string(n.bytes(f-1)) == string(name) {
			return i
		}
	}
}

// store puts a name behind the last one and returns where it begins.
func (n *names) store(name spool.Name) uint64 {
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

func (n *names) grow() {
	n.table = make([]file, 2*len(n.table))
	mask := len(n.table) - 1
	for f := range n.start {
		i := int(maphash.Bytes(n.seed, n.bytes(file(f)))) & mask
		for n.table[i] != 0 {
			i = (i + 1) & mask
		}
		n.table[i] = file(f) + 1
	}
}

// fileSet is a set of files, a bit for each.
type fileSet []uint64

func (s *fileSet) add(f file) {
	word := int(f / 64)
	if word >= len(*s) {
		*s = append(*s, make([]uint64, max(word+1-len(*s), len(*s)/2))...)
	}
	(*s)[word] |= 1 << (f % 64)
}

func (s fileSet) has(f file) bool {
	word := int(f / 64)
	return word < len(s) && s[word]&(1<<(f%64)) != 0
}
