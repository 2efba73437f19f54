package embedded

import (
	"errors"
	"slices"
	"testing"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
)

func TestErrorSink(t *testing.T) {
	var got errorLog
	log := logr.New(errorSink{funcr.New(got.add, funcr.Options{}).GetSink()})

	log.Info("starting")
	log.V(1).Info("detail")
	log.WithName("part").WithValues("key", "value").Info("still starting")
	log.Error(errors.New("http2: stream closed"), "writing")
	log.Error(nil, "Post-timeout activity")
	log.WithName("part").WithValues("key", "value").Error(errors.New("no space left on device"), "saving")
	if _, err := (errorWriter{log}).Write([]byte("transport failed\n")); err != nil {
		t.Error(err)
	}

	want := []string{
		`part "msg"="saving" "error"="no space left on device" "key"="value"`,
		` "msg"="gRPC" "error"="transport failed"`,
	}
	if lines := got.lines(); !slices.Equal(lines, want) {
		t.Errorf("got %q, want %q", lines, want)
	}
}

var etcdClientLoggerAtInit = etcdClientLogger

// The API server's package made this logger when it was initialized, or the name refers to nothing of it any more.
func TestEtcdClientLogger(t *testing.T) {
	if l := etcdClientLoggerAtInit; l == nil || l.Name() != "etcd-client" {
		t.Errorf("the logger of the API server's etcd client is not found: %v", l)
	}
}
