package embedded

import (
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// failures is the log of etcd. It keeps only what etcd cannot go on after, a full disk say: that becomes an error
// of ours, and the goroutine that said so ends, where etcd would end the process. A lesser error reaches the client
// whose request it is about.
type failures struct {
	fields []zapcore.Field
	first  chan error // holds the first failure
}

func newFailures() *failures {
	return &failures{first: make(chan error, 1)}
}

func (f *failures) logger() *zap.Logger {
	return zap.New(f, zap.WithPanicHook(zapcore.WriteThenGoexit), zap.WithFatalHook(zapcore.WriteThenGoexit))
}

func (f *failures) Enabled(level zapcore.Level) bool { return level >= zapcore.PanicLevel }

func (f *failures) With(fields []zapcore.Field) zapcore.Core {
	return &failures{fields: slices.Concat(f.fields, fields), first: f.first}
}

func (f *failures) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if f.Enabled(entry.Level) {
		return checked.AddCore(entry, f)
	}
	return checked
}

func (f *failures) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	err := errors.New(entry.Message)
	for _, field := range slices.Concat(f.fields, fields) {
		if cause, ok := field.Interface.(error); ok && field.Type == zapcore.ErrorType {
			err = fmt.Errorf("%s: %w", entry.Message, cause)
		}
	}
	select {
	case f.first <- err:
	default: // what follows the first failure follows from it
	}
	return nil
}

func (f *failures) Sync() error { return nil }
