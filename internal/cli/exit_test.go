package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"
)

func TestExitCode(t *testing.T) {
	signal := &SignalError{Signal: os.Interrupt, Code: ExitInterrupted}
	for _, tt := range []struct {
		err  error
		code int
		said string
	}{
		{nil, 0, ""},
		{errors.New("a\nb"), 1, "error: a; b\n"},
		{UsageError{errors.New("a")}, 2, "error: a\n"},
		{&ToldError{Code: 3}, 3, ""},
		{signal, 130, ""},
		{errors.Join(errors.Join(signal, context.Canceled), nil), 130, ""},
		{errors.Join(signal, errors.Join(errors.New("workers may still run: 7_0"), errors.New("b"))), 130, "error: workers may still run: 7_0; b\n"},
	} {
		var said bytes.Buffer
		if code := ExitCode(tt.err, &said); code != tt.code || said.String() != tt.said {
			t.Errorf("%v: got %d, %q", tt.err, code, said.String())
		}
	}
}
