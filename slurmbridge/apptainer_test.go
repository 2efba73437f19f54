package slurmbridge

import (
	"slices"
	"strings"
	"testing"

	"tigerflow.dev/tigerflow/executor"
)

func TestOutermost(t *testing.T) {
	rw := func(p string) executor.Bind { return executor.Bind{Path: p} }
	ro := func(p string) executor.Bind { return executor.Bind{Path: p, ReadOnly: true} }
	for name, tt := range map[string]struct{ binds, want []executor.Bind }{
		"none":          {nil, nil},
		"the same":      {[]executor.Bind{ro("/a"), rw("/a/"), ro("/a")}, []executor.Bind{rw("/a")}},
		"below":         {[]executor.Bind{rw("/a/b"), rw("/a"), ro("/a/c")}, []executor.Bind{rw("/a")}},
		"beside":        {[]executor.Bind{rw("/ab"), rw("/a")}, []executor.Bind{rw("/a"), rw("/ab")}},
		"write in read": {[]executor.Bind{rw("/a/b"), ro("/a"), ro("/a/b/c")}, []executor.Bind{ro("/a"), rw("/a/b")}},
		"root":          {[]executor.Bind{ro("/"), ro("/a")}, []executor.Bind{ro("/")}},
	} {
		if got := outermost(tt.binds); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

func TestContainersThatAreNone(t *testing.T) {
	for want, c := range map[string]executor.Container{
		`container image "whisper.sif"`: {Image: "whisper.sif"},
		`bind "data"`:                   {Image: "oci:/images/a", Binds: []executor.Bind{{Path: "data"}}},
	} {
		a := array{name: "x", specs: elements(func(s *executor.Spec) { s.Container = c }, 0)}
		_, err := a.script(testConfig)
		if stalled, ok := executor.Stalled(err); !ok || stalled.Reason != ReasonInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
