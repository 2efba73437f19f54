package executor

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestPhases(t *testing.T) {
	// What each phase means for the slot it fills, so that no phase is added without a decision.
	tests := []struct {
		phase                      Phase
		terminal, capacity, blames bool
	}{
		{Pending, false, true, false},
		{Held, false, false, false},
		{Starting, false, true, false},
		{Running, false, true, false},
		{Suspended, false, true, false},
		{Terminating, false, false, false},
		{Succeeded, true, false, false},
		{Failed, true, false, true},
		{OutOfMemory, true, false, true},
		{Expired, true, false, false},
		{Lost, true, false, false},
		{Stopped, true, false, false},
		{Canceled, true, false, false},
		{Unknown, false, true, false},
		{"", false, false, false},
	}
	tested := map[Phase]bool{}
	for _, tt := range tests {
		tested[tt.phase] = true
		if got := tt.phase.Terminal(); got != tt.terminal {
			t.Errorf("%q.Terminal() = %v", tt.phase, got)
		}
		if got := tt.phase.CountsAsCapacity(); got != tt.capacity {
			t.Errorf("%q.CountsAsCapacity() = %v", tt.phase, got)
		}
		if got := tt.phase.Blames(); got != tt.blames {
			t.Errorf("%q.Blames() = %v", tt.phase, got)
		}
		if tt.terminal && tt.capacity || tt.blames && !tt.terminal {
			t.Errorf("%q contradicts itself", tt.phase)
		}
	}
	for p := range phases {
		if !tested[p] {
			t.Errorf("%q is not in this table", p)
		}
	}
}

func TestParseWorkerID(t *testing.T) {
	long := strings.Repeat("k", 40)
	for s, want := range map[string]WorkerID{
		"k3f9.0.r1":                    {"k3f9", 0, 1},
		"a.12.r345":                    {"a", 12, 345},
		"0-9.999999.r999999":           {"0-9", 999999, 999999},
		long + ".0.r1":                 {long, 0, 1},
		"k3f9.0.r0":                    {},
		"k3f9.00.r1":                   {},
		"k3f9.0.r01":                   {},
		"k3f9.-1.r1":                   {},
		"k3f9.+1.r1":                   {},
		"k3f9.1000000.r1":              {},
		"k3f9.0.1":                     {},
		"k3f9.0":                       {},
		".0.r1":                        {},
		"-k.0.r1":                      {},
		"k-.0.r1":                      {},
		"K.0.r1":                       {},
		"k_.0.r1":                      {},
		"k.l.0.r1":                     {},
		"k3f9.0.r1\n":                  {},
		"../k.0.r1":                    {},
		"":                             {},
		strings.Repeat("k", 41) + ".0": {},
	} {
		got, err := ParseWorkerID(s)
		if got != want || (err == nil) != (want != WorkerID{}) {
			t.Errorf("ParseWorkerID(%q) = %v, %v; want %v", s, got, err, want)
		}
	}
}

func FuzzParseWorkerID(f *testing.F) {
	for _, s := range []string{"k3f9.0.r1", "a-b.10.r2", "a.0.r0", "..", "x.1.r1\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseWorkerID(s)
		if err != nil {
			return
		}
		if id.String() != s {
			t.Errorf("ParseWorkerID(%q) = %v, which is spelled otherwise", s, id)
		}
		if err := id.Validate(); err != nil {
			t.Error(err)
		}
	})
}

func TestWorkerIDOrder(t *testing.T) {
	want := []WorkerID{{"a", 2, 1}, {"a", 2, 10}, {"a", 10, 1}, {"b", 0, 1}}
	got := []WorkerID{want[2], want[3], want[1], want[0]}
	slices.SortFunc(got, WorkerID.Compare)
	if !slices.Equal(got, want) {
		t.Errorf("sorted: %v, want %v", got, want)
	}
}

func TestSpecValidate(t *testing.T) {
	good := Spec{ID: WorkerID{"k", 0, 1}, Spool: "/spool", Log: "/spool/logs/k.log", Args: []string{"--x", "a b\n"}}
	tests := []struct {
		name string
		edit func(*Spec)
		want string
	}{
		{"good", func(*Spec) {}, ""},
		{"no id", func(s *Spec) { s.ID = WorkerID{} }, "worker id"},
		{"restart 0", func(s *Spec) { s.ID.Restart = 0 }, "worker id"},
		{"relative spool", func(s *Spec) { s.Spool = "spool" }, "spool folder"},
		{"no log", func(s *Spec) { s.Log = "" }, "log file"},
		{"NUL", func(s *Spec) { s.Args = []string{"a\x00b"} }, "NUL"},
		{"negative wall time", func(s *Spec) { s.WallTime = -time.Second }, "wallTime"},
		{"negative grace", func(s *Spec) { s.DrainTimeout = -time.Second }, "drainTimeout"},
	}
	for _, tt := range tests {
		s := good
		tt.edit(&s)
		err := s.Validate()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestErrorsByNextStep(t *testing.T) {
	until := time.Now().Add(time.Minute)
	stalled := fmt.Errorf("starting: %w", &StalledError{Reason: "R", Message: "mend it", Err: fs.ErrNotExist})
	waiting := fmt.Errorf("starting: %w", &WaitError{Reason: "R", Message: "too many jobs", Until: until, Err: syscall.EAGAIN})
	passing := errors.New("socket timed out")

	if e, ok := Stalled(stalled); !ok || e.Reason != "R" || !errors.Is(stalled, fs.ErrNotExist) {
		t.Errorf("Stalled(%v) = %v, %v", stalled, e, ok)
	}
	if e, ok := Waiting(waiting); !ok || !e.Until.Equal(until) || !errors.Is(waiting, syscall.EAGAIN) {
		t.Errorf("Waiting(%v) = %v, %v", waiting, e, ok)
	}
	for _, err := range []error{waiting, passing, nil} {
		if _, ok := Stalled(err); ok {
			t.Errorf("Stalled(%v) is true", err)
		}
	}
	for _, err := range []error{stalled, passing, nil} {
		if _, ok := Waiting(err); ok {
			t.Errorf("Waiting(%v) is true", err)
		}
	}
	if got := stalled.Error(); got != "starting: mend it" {
		t.Errorf("stalled reads %q", got)
	}
}

func TestExitString(t *testing.T) {
	for e, want := range map[Exit]string{
		{Code: 3}:                           "exit status 3",
		{}:                                  "exit status 0",
		{Signal: syscall.SIGKILL}:           "signal: killed",
		{Code: -1, Signal: syscall.SIGSEGV}: "signal: segmentation fault",
	} {
		if got := e.String(); got != want {
			t.Errorf("%#v reads %q, want %q", e, got, want)
		}
	}
}
