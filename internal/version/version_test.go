package version

import (
	"runtime"
	"testing"
)

func TestGet(t *testing.T) {
	defer func(old string) { Version = old }(Version)

	Version = ""
	if got := Get().Version; got == "" {
		t.Error("a build without a version from the linker has none at all")
	}

	Version = "v1.2.3"
	want := Info{Version: "v1.2.3", GoVersion: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if got := Get(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, want := want.String(), "tigerflow v1.2.3 ("+want.GoVersion+", "+want.Platform+")"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
