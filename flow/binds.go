package flow

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/spool"
)

// ofImage are folders that a container has itself: the host's would hide them.
var ofImage = []string{
	"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin", "/sys", "/tmp", "/usr", "/var/tmp",
}

// Binds is what the container of a Task's worker has to see of the host, at the same paths: where it works, the author's code,
// params that are paths of what exists, and links, the folders that links among the inputs lead to. Where a path leads over
// symbolic links, what they name is among them.
func Binds(spec *spool.Spec, spoolDir string, links []string) []executor.Bind {
	var binds []executor.Bind
	add := func(path string, readOnly bool) {
		if _, err := os.Stat(path); err != nil { // Apptainer refuses it
			return
		}
		for _, stage := range trail(path) {
			b := executor.Bind{Path: stage, ReadOnly: readOnly}
			if !slices.Contains(binds, b) {
				binds = append(binds, b)
			}
		}
	}
	for _, dir := range []string{string(spec.WorkDir), string(spec.InputDir), string(spec.OutputDir), spoolDir} {
		add(dir, false)
	}
	for _, file := range codeOf(spec) {
		if dir := filepath.Dir(file); !hides(dir) {
			add(dir, true)
		}
	}
	for _, path := range pathsIn(spec.Params, string(spec.WorkDir)) {
		if !hides(path) {
			add(path, false)
		}
	}
	for _, dir := range links {
		if !hides(dir) {
			add(dir, true)
		}
	}
	return binds
}

// codeOf is the files that the worker reads besides inputs.
func codeOf(spec *spool.Spec) (files []string) {
	if p := spec.Handler.Python; p != nil {
		if file, _, _ := strings.Cut(p.Module, ":"); strings.HasSuffix(file, ".py") {
			files = append(files, absolute(file, string(spec.WorkDir)))
		}
	}
	if p := spec.Handler.Program; p != nil && filepath.IsAbs(string(p.Path)) {
		files = append(files, string(p.Path))
	}
	if spec.EnvFile != "" {
		files = append(files, absolute(string(spec.EnvFile), string(spec.WorkDir)))
	}
	return files
}

func absolute(path, dir string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

// pathsIn is the params that may be paths: texts, and texts in lists.
func pathsIn(params map[string]json.RawMessage, dir string) (paths []string) {
	for _, raw := range params {
		var texts []string
		var text string
		if json.Unmarshal(raw, &text) == nil {
			texts = []string{text}
		} else if json.Unmarshal(raw, &texts) != nil {
			continue
		}
		for _, text := range texts {
			if text != "" && !strings.ContainsRune(text, 0) {
				paths = append(paths, absolute(text, dir))
			}
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// hides reports whether a bind would hide what the image has.
func hides(path string) bool {
	return path == "/" || slices.ContainsFunc(ofImage, func(dir string) bool {
		return path == dir || strings.HasPrefix(path, dir+"/")
	})
}

// linksMost is how many links a path may lead over, as on Linux.
const linksMost = 40

// trail is a path, and what it becomes as its links are followed one after the other.
func trail(path string) []string {
	path = filepath.Clean(path)
	all := []string{path}
	for range linksMost {
		next, found := followFirst(path)
		if !found {
			break
		}
		path = next
		all = append(all, path)
	}
	return all
}

// followFirst replaces the first link in a path by what it names.
func followFirst(path string) (string, bool) {
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		target, err := os.Readlink(path[:i])
		if err != nil {
			continue
		}
		return filepath.Join(absolute(target, filepath.Dir(path[:i])), path[i:]), true
	}
	return "", false
}
