package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"
)

func TestLogger(t *testing.T) {
	for _, tt := range []struct {
		least zapcore.Level
		want  string
	}{
		{zapcore.WarnLevel, "error failed {\"error\": \"cause\"}\n"},
		{zapcore.DebugLevel, "debug a detail\ninfo a message {\"key\": \"value\"}\nerror failed {\"error\": \"cause\"}\n"},
	} {
		var stderr bytes.Buffer
		log := NewLogger(&stderr, tt.least)
		log.V(1).Info("a detail")
		log.Info("a message", "key", "value")
		log.Error(errors.New("cause"), "failed")
		var got strings.Builder
		for line := range strings.Lines(stderr.String()) {
			_, rest, _ := strings.Cut(line, " ") // the time
			got.WriteString(rest)
		}
		if got.String() != tt.want {
			t.Errorf("%s: got %q, want %q", tt.least, got.String(), tt.want)
		}
	}
}
