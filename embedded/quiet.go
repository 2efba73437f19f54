package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	_ "unsafe" // for linkname

	"github.com/go-logr/logr"
	"go.uber.org/zap"
	"google.golang.org/grpc/grpclog"
	_ "k8s.io/apiserver/pkg/storage/storagebackend/factory" // which owns etcdClientLogger
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
)

// etcdClientLogger is the logger of the API server's etcd client. It writes to stderr (a warning of a request that
// was cancelled, say, when the plane ends soon after its start), and no call and no option changes it: its package
// reads its level from the environment before main begins.
//
//go:linkname etcdClientLogger k8s.io/apiserver/pkg/storage/storagebackend/factory.etcd3ClientLogger
var etcdClientLogger *zap.Logger

// Quiet sends the errors of the Kubernetes, etcd and gRPC libraries to log and drops what else they have to say, which
// by default they write to stderr. It sets the loggers of the whole process: a command calls it once, before Start.
func Quiet(log logr.Logger) {
	errorsOnly := logr.Discard()
	if sink := log.GetSink(); sink != nil {
		errorsOnly = logr.New(errorSink{sink})
	}
	klog.SetLogger(errorsOnly)
	ctrllog.SetLogger(errorsOnly)
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, errorWriter{errorsOnly}))
	etcdClientLogger = zap.NewNop() // the API server tells of its failed requests itself
}

// errorSink drops all that is not an error.
type errorSink struct{ logr.LogSink }

// harmless are parts of what the API server logs as errors, in several places, when a client goes away in the middle
// of a request or is refused, and when it is stopped itself: nothing of ours has failed.
var harmless = []string{
	"client disconnected",
	"connection reset by peer",
	"broken pipe",
	"context canceled",
	"http2: stream closed",
	"stream error: ",
	"http: Handler timeout",
	"Post-timeout activity",
	"Timeout or abort while handling",
	"Unable to authenticate the request",
	"failed to update managedFields",       // of an object that is refused for a wrong type of a field
	"Failed to shutdown server",            // in its time: a connection came late, and was closed
	"timed out waiting for caches to sync", // said when the wait is stopped; it has no time-out
}

func (errorSink) Enabled(int) bool { return false }

func (s errorSink) Error(err error, msg string, kv ...any) {
	text := fmt.Sprint(msg, ": ", err)
	for _, part := range harmless {
		if strings.Contains(text, part) {
			return
		}
	}
	s.LogSink.Error(err, msg, kv...)
}

func (s errorSink) WithName(name string) logr.LogSink { return errorSink{s.LogSink.WithName(name)} }

func (s errorSink) WithValues(kv ...any) logr.LogSink { return errorSink{s.LogSink.WithValues(kv...)} }

// errorWriter logs each write as an error.
type errorWriter struct{ log logr.Logger }

func (w errorWriter) Write(line []byte) (int, error) {
	w.log.Error(errors.New(string(bytes.TrimSpace(line))), "gRPC")
	return len(line), nil
}
