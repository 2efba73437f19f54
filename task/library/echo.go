package library

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
	"golang.org/x/text/cases"
	"golang.org/x/text/language"
	"golang.org/x/text/transform"
)

// Echo copies input to output, byte for byte but for its params.
type Echo struct {
	Prefix    string `param:"prefix" default:"" help:"Text to put before the content"`
	Suffix    string `param:"suffix" default:"" help:"Text to put behind the content"`
	Uppercase bool   `param:"uppercase" help:"Convert letters to upper case; bytes that are not UTF-8 stay"`
}

// Run copies one file.
func (e Echo) Run(_ context.Context, input, output string) (err error) {
	in, err := open(input, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := open(output, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer func() {
		if closing := out.Close(); err == nil {
			err = closing
		}
	}()
	if e.Uppercase {
		return e.copy(out, transform.NewReader(in, cases.Upper(language.Und)))
	}
	return e.copy(out, in)
}

// firstRead is what one read takes: files up to this size, most of them, cost one write.
const firstRead = 64 << 10

var buffers = sync.Pool{New: func() any { return new([]byte) }}

func (e Echo) copy(out io.Writer, in io.Reader) error {
	pooled, _ := buffers.Get().(*[]byte)
	defer buffers.Put(pooled)
	buf := append(slices.Grow((*pooled)[:0], len(e.Prefix)+firstRead+len(e.Suffix)), e.Prefix...)
	*pooled = buf

	n, err := io.ReadFull(in, buf[len(buf):len(buf)+firstRead])
	buf = buf[:len(buf)+n]
	whole := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if err != nil && !whole {
		return err
	}
	if whole {
		_, err = out.Write(append(buf, e.Suffix...))
		return err
	}
	if _, err := out.Write(buf); err != nil {
		return err
	}
	// From file to file the kernel copies by itself.
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	_, err = io.WriteString(out, e.Suffix)
	return err
}
