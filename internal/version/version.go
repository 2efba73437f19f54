// Package version tells which build this is.
package version

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Version is that of a release, set by the linker:
//
//	go build -ldflags "-X tigerflow.dev/tigerflow/internal/version.Version=v1.2.3"
var Version string

// Info describes a build.
type Info struct {
	Version   string `json:"version"`
	GoVersion string `json:"goVersion"`
	Platform  string `json:"platform"`
}

// Get describes this build. Without a version from the linker it is the one that the go command recorded: that of
// the module, or of the commit, or (devel).
func Get() Info {
	v := Version
	if v == "" {
		v = "(devel)"
		if build, ok := debug.ReadBuildInfo(); ok && build.Main.Version != "" {
			v = build.Main.Version
		}
	}
	return Info{Version: v, GoVersion: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
}

func (i Info) String() string {
	return fmt.Sprintf("tigerflow %s (%s, %s)", i.Version, i.GoVersion, i.Platform)
}
