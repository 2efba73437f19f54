// Identifiers is a TigerFlow task in Go: it counts the identifiers of a source file and writes a line `identifier count`
// for each, the most frequent first. Build it with
//
//	go build -o identifiers ./examples/identifiers
//
// and name the binary in a Task under handler.program.path.
package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"tigerflow.dev/tigerflow/task"
)

// Identifiers holds the params of the task.
type Identifiers struct {
	Top       int `param:"top" default:"0" help:"How many identifiers to write; 0 writes all"`
	MinLength int `param:"min_length" default:"1" help:"Shortest identifier to count, in characters"`
}

func main() { task.Main[Identifiers]() }

// Setup refuses what would only show in wrong results.
func (t *Identifiers) Setup(context.Context) error {
	if t.Top < 0 || t.MinLength < 1 {
		return fmt.Errorf("top is %d and min_length is %d: they must be at least 0 and 1", t.Top, t.MinLength)
	}
	return nil
}

// Run counts one file.
func (t Identifiers) Run(_ context.Context, input, output string) (err error) {
	in, err := os.Open(input)
	if err != nil {
		return err
	}
	defer in.Close()
	counts, err := t.count(bufio.NewReader(in))
	if err != nil {
		return err
	}

	out, err := os.Create(output)
	if err != nil {
		return err
	}
	defer func() {
		if closing := out.Close(); err == nil {
			err = closing
		}
	}()
	return t.write(out, counts)
}

// count finds what grep -o '[A-Za-z_][A-Za-z0-9_]*' finds.
func (t Identifiers) count(r io.ByteReader) (map[string]int, error) {
	counts := map[string]int{}
	var word []byte
	for {
		c, err := r.ReadByte()
		if err == nil && (isLetter(c) || len(word) > 0 && isDigit(c)) {
			word = append(word, c)
			continue
		}
		if len(word) >= t.MinLength {
			counts[string(word)]++
		}
		word = word[:0]
		if errors.Is(err, io.EOF) {
			return counts, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (t Identifiers) write(w io.Writer, counts map[string]int) error {
	type row struct {
		identifier string
		count      int
	}
	rows := make([]row, 0, len(counts))
	for identifier, count := range counts {
		rows = append(rows, row{identifier, count})
	}
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.identifier, b.identifier))
	})
	if t.Top > 0 {
		rows = rows[:min(t.Top, len(rows))]
	}
	buf := bufio.NewWriter(w)
	for _, r := range rows {
		fmt.Fprintln(buf, r.identifier, r.count) // the error stays for Flush
	}
	return buf.Flush()
}

func isLetter(c byte) bool { return c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
