package task

import (
	"path/filepath"
	"strings"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/spool"
)

// Paths are the places on the file system that a Task names. All are absolute.
type Paths struct {
	Workspace, Input, Output string
	Records                  string // the directory below which the Task's spool lies
	Spool                    string
	Image                    string // as Apptainer takes it; "" if there is none
}

// PathsOf is where a Task works.
func PathsOf(t *v1alpha1.Task) Paths {
	s := &t.Spec
	p := Paths{
		Workspace: s.Workspace.Path, Input: string(within(s, s.Input.Directory)), Output: string(within(s, s.Output.Directory)),
		Records: recordsOf(s),
	}
	p.Spool = spool.Dir(p.Records, t.DisplayName())
	if s.Container != nil && s.Container.Image != "" {
		p.Image = imageOf(s)
	}
	return p
}

// recordsOf is the directory below which the spool lies.
func recordsOf(s *v1alpha1.TaskSpec) string {
	if s.Pipeline != nil {
		return string(within(s, s.Pipeline.Directory))
	}
	return string(within(s, s.Output.Directory))
}

// within takes a path relative to the workspace for the absolute one that it means.
func within(s *v1alpha1.TaskSpec, path string) spool.Name {
	if filepath.IsAbs(path) {
		return spool.Name(filepath.Clean(path))
	}
	return spool.Name(filepath.Join(s.Workspace.Path, path))
}

// MapPaths replaces what the spec of a Slurm Task names on the file system by what local makes of the absolute path: for a
// process that sees the tree of the workspace elsewhere than pods do. Params, env, lines of shell and the arguments of programs stay
// as they are: nothing tells the paths among them. s must be the caller's own.
func MapPaths(s *v1alpha1.TaskSpec, local func(path string) string) {
	set := func(path *string) { *path = local(string(within(s, *path))) }
	if p := s.Pipeline; p != nil {
		set(&p.Directory)
	}
	set(&s.Input.Directory)
	set(&s.Output.Directory)
	mapHandler(&s.Handler, set)
	if c := s.Container; c != nil {
		if scheme, path, onDisk := imageFile(c.Image); onDisk && path != "" {
			set(&path)
			c.Image = scheme + path
		}
		if c.EnvFile != "" {
			set(&c.EnvFile)
		}
	}
	set(&s.Workspace.Path)
}

// mapHandler calls set with each path of a handler. A name without a slash is looked for elsewhere.
func mapHandler(h *v1alpha1.Handler, set func(path *string)) {
	if p := h.Python; p != nil {
		file, class, named := strings.Cut(p.Module, ":")
		if strings.Contains(file, "/") || strings.HasSuffix(file, ".py") {
			set(&file)
		}
		if p.Module = file; named {
			p.Module += ":" + class
		}
		if strings.Contains(p.Interpreter, "/") {
			set(&p.Interpreter)
		}
	}
	if p := h.Program; p != nil && strings.Contains(p.Path, "/") {
		set(&p.Path)
	}
	if c := h.Command; len(c) > 0 && filepath.IsAbs(c[0]) {
		set(&c[0])
	}
}
