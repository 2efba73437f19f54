// Package hangup tells a program that what reads its output has gone: Ctrl-C ends also the tee that shows it.
package hangup

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Pipe returns what writes to w. If w is a pipe, the first write that finds no reader calls gone, and none ends the process by
// SIGPIPE any more, for what is left to do is more than to say it. That signal itself would tell of any socket too.
func Pipe(w io.Writer, gone func()) io.Writer {
	file, ok := w.(*os.File)
	if !ok {
		return w
	}
	info, err := file.Stat()
	if err != nil || info.Mode()&(os.ModeNamedPipe|os.ModeSocket) == 0 {
		return w
	}
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return &pipe{w: w, gone: sync.OnceFunc(gone)}
}

type pipe struct {
	w    io.Writer
	gone func()
}

func (p *pipe) Write(text []byte) (int, error) {
	n, err := p.w.Write(text)
	if errors.Is(err, syscall.EPIPE) {
		p.gone()
	}
	return n, err
}
