package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"tigerflow.dev/tigerflow/task/python"
)

// pythonTask is what Python tells of a task: see python3 -m tigerflow._registry.
type pythonTask struct {
	Name        string        `json:"name"`
	Source      string        `json:"source"` // built-in or installed
	Module      string        `json:"module"`
	Class       string        `json:"class"`
	Package     string        `json:"package"`
	Version     string        `json:"version"`
	Description string        `json:"description"`
	Params      []pythonParam `json:"params"`
	Error       string        `json:"error"`
}

type pythonParam struct {
	Name     string `json:"name"`
	Flag     string `json:"flag"`
	Type     string `json:"type"`
	Default  any    `json:"default"`
	Help     string `json:"help"`
	Required bool   `json:"required"`
}

// ModuleName is the module without the class that may stand behind it.
func (t *pythonTask) ModuleName() string {
	name, _, _ := strings.Cut(t.Module, ":")
	return name
}

// pythonPath is the search path with the package tigerflow in it: that of this binary, unless another comes first.
func pythonPath() (string, error) {
	data, hash, err := python.Zip()
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	path := filepath.Join(cache, "tigerflow", "tigerflow-"+hash+".zip")
	if have, err := os.ReadFile(path); err != nil || !bytes.Equal(have, data) {
		if err := writeWhole(path, data); err != nil {
			return "", fmt.Errorf("writing the Python package: %w", err)
		}
	}
	if given := os.Getenv("PYTHONPATH"); given != "" {
		path = given + string(os.PathListSeparator) + path
	}
	return path, nil
}

// writeWhole replaces a file at once: others may be reading it.
func writeWhole(path string, data []byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the first error says more
	}
	return err
}

// registry asks Python. Where there is no Python there are no installed tasks: the answer is empty.
func registry(ctx context.Context, args ...string) ([]byte, error) {
	if _, err := exec.LookPath("python3"); err != nil {
		return nil, nil //nolint:nilerr // as said above
	}
	path, err := pythonPath()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "python3", append([]string{"-m", "tigerflow._registry"}, args...)...)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+path)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if _, exited := errors.AsType[*exec.ExitError](err); exited && len(bytes.TrimSpace(out)) > 0 {
		return out, nil // an answer that says what is wrong
	}
	if err != nil {
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		return nil, fmt.Errorf("asking python3 for installed tasks: %w: %s", err, lines[len(lines)-1])
	}
	return out, nil
}

// pythonTasks lists what Python knows.
func pythonTasks(ctx context.Context) ([]pythonTask, error) {
	out, err := registry(ctx, "list")
	if err != nil || len(out) == 0 {
		return nil, err
	}
	var all []pythonTask
	if err := json.Unmarshal(out, &all); err != nil {
		return nil, fmt.Errorf("reading what python3 says of installed tasks: %w", err)
	}
	return all, nil
}

// installedTask is a task that Python knows; nil if it knows none of the name.
func installedTask(ctx context.Context, name string) (*pythonTask, error) {
	out, err := registry(ctx, "info", name)
	if err != nil || len(out) == 0 {
		return nil, err
	}
	var t pythonTask
	if err := json.Unmarshal(out, &t); err != nil {
		return nil, fmt.Errorf("reading what python3 says of task %s: %w", name, err)
	}
	if t.Name == "" {
		return nil, nil
	}
	return &t, nil
}
