package slurmbridge

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"tigerflow.dev/tigerflow/executor"
)

// imageReference is a scheme of Apptainer with what stands behind it: docker-archive:/images/a.tar.
var imageReference = regexp.MustCompile(`^[a-z][a-z0-9+-]*:.`)

// command is the line of bash that becomes the worker, in its container if it has one.
func (c scriptConfig) command(s executor.Spec) (string, error) {
	run := `"$tf_worker" run --spool "$tf_spool" --id "$tf_id" `
	if s.WallTime > 0 {
		run += `--elapsed "${tf_passed}s" `
	}
	run += `"${tf_args[@]}"`
	if s.Container.Image == "" {
		return run, nil
	}
	argv, err := c.container(s)
	if err != nil {
		return "", &executor.StalledError{Reason: ReasonInvalid, Message: err.Error(), Err: err}
	}
	// The folder is made when the script runs.
	return quoteAll(argv) + ` --workdir "$tf_scratch" ` + quote(s.Container.Image) + " " + run, nil
}

// container is the beginning of the call of Apptainer, up to the options that are known beforehand.
func (c scriptConfig) container(s executor.Spec) ([]string, error) {
	image := s.Container.Image
	if !filepath.IsAbs(image) && !imageReference.MatchString(image) {
		return nil, fmt.Errorf("container image %q: want an absolute path, or a reference such as docker-archive:/path", image)
	}
	argv := []string{cmp.Or(c.apptainer, defaultApptainer), "exec", "--containall", "--cleanenv", "--pwd", "/"}
	if s.Resources.GPUs > 0 {
		argv = append(argv, "--nv")
	}
	binds := append(slices.Clone(s.Container.Binds),
		executor.Bind{Path: s.Spool}, executor.Bind{Path: c.worker, ReadOnly: true})
	for _, b := range outermost(binds) {
		mount, err := mountOf(b)
		if err != nil {
			return nil, err
		}
		argv = append(argv, "--mount", mount)
	}
	return argv, nil
}

// outermost leaves out what another bind has already, in an order in which none hides another.
func outermost(binds []executor.Bind) []executor.Bind {
	binds = slices.Clone(binds)
	for i, b := range binds {
		binds[i].Path, binds[i].At = filepath.Clean(b.Path), filepath.Clean(destination(b))
	}
	slices.SortFunc(binds, func(a, b executor.Bind) int {
		return cmp.Or(strings.Compare(a.At, b.At), compareBool(a.ReadOnly, b.ReadOnly)) // what may be written first
	})
	var kept []executor.Bind
	for _, b := range binds {
		nearest := -1
		for i, k := range kept {
			if within(k.At, b.At) {
				nearest = i
			}
		}
		if nearest < 0 || kept[nearest].ReadOnly && !b.ReadOnly || !shows(kept[nearest], b) {
			kept = append(kept, b)
		}
	}
	return kept
}

// destination is where the container has a bind.
func destination(b executor.Bind) string { return cmp.Or(b.At, b.Path) }

// shows reports whether a bind has another, within which it lies, in its place.
func shows(outer, inner executor.Bind) bool {
	return filepath.Join(outer.Path, strings.TrimPrefix(inner.At, outer.At)) == inner.Path
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// within reports whether path is dir or lies below it.
func within(dir, path string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// mountOf spells a bind for --mount, which unlike --bind takes any path: its fields are those of a line of CSV.
func mountOf(b executor.Bind) (string, error) {
	for _, path := range []string{b.Path, destination(b)} {
		if !filepath.IsAbs(path) {
			return "", fmt.Errorf("bind %q: want an absolute path", path)
		}
	}
	fields := []string{"type=bind", "source=" + b.Path, "destination=" + destination(b)}
	if b.ReadOnly {
		fields = append(fields, "ro")
	}
	var line strings.Builder
	w := csv.NewWriter(&line)
	if err := w.Write(fields); err != nil {
		return "", fmt.Errorf("bind %q: %w", b.Path, err)
	}
	w.Flush()
	return strings.TrimSuffix(line.String(), "\n"), w.Error()
}
