package main

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/controllers/task"
	"tigerflow.dev/tigerflow/slurmbridge"
)

// admit says which limit a Task breaks, in one line that names the field, the limit and the mend; nil is none.
func (l *limits) admit(t *v1alpha1.Task) error {
	if err := l.admitPaths(task.PathsOf(t)); err != nil {
		return err
	}
	if l.MaxWorkers != nil && t.Spec.MaxWorkers() > *l.MaxWorkers {
		return fmt.Errorf("spec.scaling.maxWorkers: %d, and this bridge allows a Task %d: lower it", t.Spec.MaxWorkers(), *l.MaxWorkers)
	}
	if t.Spec.Slurm == nil {
		return nil
	}
	return l.admitSlurm(t.Spec.Slurm)
}

func (l *limits) admitPaths(p task.Paths) error {
	for _, at := range []struct{ field, path string }{
		{"workspace.path", p.Workspace}, {"input.directory", p.Input}, {"output.directory", p.Output}, {"pipeline.directory", p.Records},
	} {
		if l.Roots != nil && !below(l.Roots, at.path) {
			return fmt.Errorf("spec.%s: %s is not below %s: apply the Task anew with a path there", at.field, at.path, choice(l.Roots))
		}
	}
	matches := func(pattern string) bool { ok, err := path.Match(pattern, p.Image); return ok && err == nil }
	switch {
	case l.Images == nil || p.Image == "" || slices.ContainsFunc(l.Images, matches):
		return nil
	case len(l.Images) == 0:
		return fmt.Errorf("spec.container.image: %s: this bridge allows no images: remove it", p.Image)
	}
	return fmt.Errorf("spec.container.image: %s is not allowed by this bridge: choose one of %s", p.Image, choice(l.Images))
}

// below reports whether a path lies in one of the folders, or is one, wherever links on the way lead.
func below(roots []string, p string) bool {
	p = resolve(p)
	return slices.ContainsFunc(roots, func(root string) bool {
		rel, err := filepath.Rel(resolve(root), p)
		return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
	})
}

// resolve follows the links of as much of a path as exists.
func resolve(p string) string {
	p = filepath.Clean(p)
	for at, rest := p, ""; ; at, rest = filepath.Dir(at), filepath.Join(filepath.Base(at), rest) {
		if target, err := filepath.EvalSymlinks(at); err == nil {
			return filepath.Join(target, rest)
		}
		if _, err := os.Lstat(at); err == nil || at == filepath.Dir(at) { // a link that leads nowhere is below nothing
			return "/"
		}
	}
}

func (l *limits) admitSlurm(s *v1alpha1.Slurm) error {
	if err := admitName("partition", s.Partition, l.Partitions); err != nil {
		return err
	}
	if err := admitName("account", s.Account, l.Accounts); err != nil {
		return err
	}
	return l.admitOptions(s.SbatchOptions)
}

// admitName checks slurm.partition, which may name several, and slurm.account. Who leaves them out gets the cluster's own,
// whatever that is, so a limit wants them named.
func admitName(field, value string, allowed []string) error {
	if allowed == nil {
		return nil
	}
	for name := range strings.SplitSeq(value, ",") {
		if !slices.Contains(allowed, name) {
			return fmt.Errorf("spec.slurm.%s: %q is not allowed by this bridge: write %s", field, value, choice(allowed))
		}
	}
	return nil
}

// admitOptions checks slurm.sbatchOptions. Those that no worker can have are the executor's to refuse.
func (l *limits) admitOptions(options []string) error {
	dangerous, err := slurmbridge.CheckOptions(options)
	if err != nil {
		return nil //nolint:nilerr // Start tells it
	}
	if len(dangerous) > 0 {
		return fmt.Errorf("spec.slurm.sbatchOptions: --%s is never allowed by a bridge: remove it", dangerous[0])
	}
	words, err := slurmbridge.SpellOut(options)
	if err != nil {
		return err
	}
	for _, word := range words {
		name, _, _ := strings.Cut(word, "=")
		switch {
		case name == "--partition" && l.Partitions != nil, name == "--account" && l.Accounts != nil:
			return fmt.Errorf("spec.slurm.sbatchOptions: %s: name it in spec.slurm.%s, which this bridge limits", name, name[2:])
		case l.SbatchOptions != nil && !slices.Contains(l.SbatchOptions, name):
			return fmt.Errorf("spec.slurm.sbatchOptions: %s is not allowed by this bridge, which has %s: remove it", name, choice(l.SbatchOptions))
		}
	}
	return nil
}

// choice lists what is allowed.
func choice(allowed []string) string {
	switch len(allowed) {
	case 0:
		return "none"
	case 1:
		return allowed[0]
	}
	return strings.Join(allowed[:len(allowed)-1], ", ") + " or " + allowed[len(allowed)-1]
}
