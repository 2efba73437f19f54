package spool

import (
	"os"
	"path/filepath"
	"strings"
)

// hereOf says where this host has what whoever wrote a Spec had below the folders of its tree, which may be mounted elsewhere
// there: written is what the writer called the spool's folder, and dir is what we call it. The names at the end that both
// agree on lie in the tree, and what stands before them is where it is mounted. nil is as it was written.
func hereOf(written, dir string) func(Name) Name {
	dir, err := filepath.Abs(dir)
	if err != nil || !filepath.IsAbs(written) || written == dir || sameFolder(written, dir) {
		return nil
	}
	there, here := strings.Split(written, "/"), strings.Split(dir, "/")
	same := 0
	for same < min(len(there), len(here)) && there[len(there)-1-same] == here[len(here)-1-same] {
		same++
	}
	from, to := strings.Join(there[:len(there)-same], "/"), strings.Join(here[:len(here)-same], "/")
	return func(path Name) Name {
		rest, below := strings.CutPrefix(string(path), from)
		if !below || rest != "" && rest[0] != '/' {
			return path
		}
		return Name(to + rest)
	}
}

func sameFolder(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}

// see has the folders of a Spec that was written by somebody who had the spool in another place be those of this host.
func (s *Spec) see(here func(Name) Name) {
	if here == nil {
		return
	}
	for _, dir := range []*Name{&s.WorkDir, &s.InputDir, &s.OutputDir} {
		*dir = here(*dir)
	}
}
