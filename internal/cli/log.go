package cli

import (
	"io"
	"log/slog"

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
	"go.uber.org/zap/zapcore"
)

// NewLogger writes lines for people to read, of what is at least as grave as least.
func NewLogger(stderr io.Writer, least zapcore.Level) logr.Logger {
	encoder := zapcore.NewConsoleEncoder(zapcore.EncoderConfig{
		TimeKey: "time", LevelKey: "level", NameKey: "name", MessageKey: "message",
		EncodeTime:       zapcore.TimeEncoderOfLayout("2006-01-02T15:04:05.000Z07:00"),
		EncodeLevel:      zapcore.LowercaseLevelEncoder,
		EncodeDuration:   zapcore.StringDurationEncoder,
		ConsoleSeparator: " ",
	})
	return zapr.NewLogger(zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(stderr)), least)))
}

// NewStructuredLogger writes lines of JSON, for a cluster's collector of logs.
func NewStructuredLogger(stderr io.Writer, least zapcore.Level) logr.Logger {
	encoder := zapcore.NewJSONEncoder(zapcore.EncoderConfig{
		TimeKey: "time", LevelKey: "level", NameKey: "logger", MessageKey: "message",
		EncodeTime:     zapcore.TimeEncoderOfLayout("2006-01-02T15:04:05.000Z07:00"),
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeDuration: zapcore.StringDurationEncoder,
	})
	return zapr.NewLogger(zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(stderr)), least)))
}

// Slog is the same logger for packages that know slog only. It keeps the levels, of which logr has no warning.
func Slog(log logr.Logger) *slog.Logger {
	if z, ok := log.GetSink().(zapr.Underlier); ok {
		return slog.New(zapslog.NewHandler(z.GetUnderlying().Core()))
	}
	return slog.New(logr.ToSlogHandler(log))
}
