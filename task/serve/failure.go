package serve

import (
	"bytes"
	"errors"
	"fmt"
	"go/token"
	"net"
	"reflect"
	"runtime/debug"
	"syscall"

	"tigerflow.dev/tigerflow/task/protocol"
)

// guard runs user code and describes how it failed, nil if it did not.
func guard(f func() error) (failure *protocol.Failure) {
	defer func() {
		if v := recover(); v != nil {
			failure = &protocol.Failure{Type: "panic", Message: fmt.Sprint(v), Traceback: panicStack(debug.Stack())}
		}
	}()
	if err := f(); err != nil {
		return describe(err)
	}
	return nil
}

func describe(err error) *protocol.Failure {
	f := &protocol.Failure{Type: typeName(err), Message: err.Error()}
	_, socket := errors.AsType[*net.OpError](err) // whose numbers are also those of a file server out of reach
	if errno, ok := errors.AsType[syscall.Errno](err); ok && !socket {
		f.Errno = int(errno)
	}
	// Errors that know where they were made print it with %+v.
	if long := fmt.Sprintf("%+v", err); long != f.Message {
		f.Traceback = long
	}
	return f
}

// typeName is the name of the first exported type in the chain of wrapped errors: errors.New and fmt.Errorf make
// unexported ones, whose names tell nobody anything.
func typeName(err error) string {
	for err != nil {
		t := reflect.TypeOf(err)
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if token.IsExported(t.Name()) {
			return t.Name()
		}
		err = unwrap(err)
	}
	return "error"
}

// unwrap is errors.Unwrap that goes on with the first of several.
func unwrap(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		if all := joined.Unwrap(); len(all) > 0 {
			return all[0]
		}
	}
	return errors.Unwrap(err)
}

// panicStack drops the frames above the panic itself, which are those of the recovery.
func panicStack(stack []byte) string {
	if i := bytes.Index(stack, []byte("\npanic(")); i >= 0 {
		stack = stack[i+1:]
		if _, frames, found := bytes.Cut(stack, []byte("\n\t")); found {
			_, stack, _ = bytes.Cut(frames, []byte("\n"))
		}
	}
	return string(stack)
}
