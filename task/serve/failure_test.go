package serve

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"tigerflow.dev/tigerflow/task/protocol"
)

type stackError struct{}

func (stackError) Error() string { return "short" }

func (stackError) Format(s fmt.State, verb rune) {
	if s.Flag('+') {
		fmt.Fprint(s, "short\nmade here")
		return
	}
	fmt.Fprint(s, "short")
}

func TestGuard(t *testing.T) {
	_, notFound := os.Open("/nonexistent")
	tests := []struct {
		name string
		f    func() error
		want *protocol.Failure
	}{
		{"success", func() error { return nil }, nil},
		{"plain error", func() error { return errors.New("no") }, &protocol.Failure{Type: "error", Message: "no"}},
		{"path error", func() error { return notFound }, &protocol.Failure{
			Type: "PathError", Message: "open /nonexistent: no such file or directory", Errno: int(syscall.ENOENT),
		}},
		{"wrapped", func() error { return fmt.Errorf("reading: %w", notFound) }, &protocol.Failure{
			Type: "PathError", Message: "reading: open /nonexistent: no such file or directory", Errno: int(syscall.ENOENT),
		}},
		{"joined", func() error { return errors.Join(errors.New("a"), notFound) }, &protocol.Failure{
			Type: "error", Message: "a\nopen /nonexistent: no such file or directory", Errno: int(syscall.ENOENT),
		}},
		{"joined with the typed one first", func() error { return errors.Join(syscall.ENOSPC, fs.ErrInvalid) }, &protocol.Failure{
			Type: "Errno", Message: "no space left on device\ninvalid argument", Errno: int(syscall.ENOSPC),
		}},
		{"file server out of reach", func() error { return &fs.PathError{Op: "read", Path: "x", Err: syscall.ETIMEDOUT} }, &protocol.Failure{
			Type: "PathError", Message: "read x: connection timed out", Errno: int(syscall.ETIMEDOUT),
		}},
		{"socket", func() error {
			return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ETIMEDOUT)}
		}, &protocol.Failure{
			Type: "OpError", Message: "dial tcp: connect: connection timed out",
		}},
		{"error with a stack", func() error { return stackError{} }, &protocol.Failure{
			Type: "error", Message: "short", Traceback: "short\nmade here",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := guard(tt.f)
			if (got == nil) != (tt.want == nil) || got != nil && *got != *tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestGuardPanics(t *testing.T) {
	var nothing *fs.PathError
	for name, f := range map[string]func() error{
		"explicit": func() error { panic("out of cheese") },
		"runtime":  func() error { return errors.New(nothing.Op) },
		"in Error": func() error { return (*fs.PathError)(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			got := guard(f)
			if got == nil || got.Type != "panic" || got.Message == "" {
				t.Fatalf("got %+v, want a panic", got)
			}
			first, _, _ := strings.Cut(got.Traceback, "\n")
			if strings.HasPrefix(first, "panic(") || strings.Contains(first, "debug.Stack") || !strings.Contains(got.Traceback, "failure_test.go") {
				t.Errorf("the stack begins with the recovery:\n%s", got.Traceback)
			}
		})
	}
}
