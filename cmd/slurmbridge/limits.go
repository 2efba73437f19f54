package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// limits is the content of a limits file: what Tasks may ask of this bridge. What is left out is not limited; an empty list
// allows nothing. They guard against mistakes: what a Task runs has all rights of the bridge's user.
type limits struct {
	// Roots are the folders below which workspaces, inputs and outputs lie.
	Roots []string `json:"roots"`
	// Images are patterns of container images, as path.Match has them: a * does not match a slash.
	Images []string `json:"images"`
	// MaxWorkers bounds scaling.maxWorkers of each Task.
	MaxWorkers *int32 `json:"maxWorkers"`
	// MaxWorkersInAll bounds the workers of all Tasks together, those that wait in the queue included.
	MaxWorkersInAll *int `json:"maxWorkersInAll"`
	// Partitions and Accounts are what slurm.partition and slurm.account may name.
	Partitions []string `json:"partitions"`
	Accounts   []string `json:"accounts"`
	// SbatchOptions are the options that slurm.sbatchOptions may have, by their long names and without values: --constraint.
	SbatchOptions []string `json:"sbatchOptions"`
}

// readLimits reads a limits file; without one nothing is limited.
func readLimits(file string) (*limits, error) {
	l := &limits{}
	if file == "" {
		return l, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if err := l.parse(data); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return l, nil
}

func (l *limits) parse(data []byte) error {
	var fields map[string]any
	if err := yaml.Unmarshal(data, &fields); err != nil {
		return plainly(err)
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if fields[name] == nil {
			return fmt.Errorf("%s has no value: write [] to allow nothing, or leave it out to limit nothing", name)
		}
	}
	if err := yaml.UnmarshalStrict(data, l); err != nil {
		return plainly(err)
	}
	return l.check()
}

// plainly is an error of package yaml without the names of its steps.
func plainly(err error) error {
	text := err.Error()
	for _, step := range []string{"error converting YAML to JSON: ", "error unmarshaling JSON: ", "while decoding JSON: ", "json: ", "yaml: "} {
		text = strings.TrimPrefix(text, step)
	}
	text = strings.ReplaceAll(text, "Go struct field limits.", "")
	return errors.New(strings.Join(strings.Fields(text), " "))
}

func (l *limits) check() error {
	for i, root := range l.Roots {
		if !filepath.IsAbs(root) {
			return fmt.Errorf("roots: %q: give an absolute path", root)
		}
		l.Roots[i] = filepath.Clean(root)
	}
	for _, pattern := range l.Images {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("images: %q: give a pattern such as /project/images/*.sif", pattern)
		}
	}
	if l.MaxWorkers != nil && *l.MaxWorkers < 1 {
		return fmt.Errorf("maxWorkers: %d: give 1 or more", *l.MaxWorkers)
	}
	if l.MaxWorkersInAll != nil && *l.MaxWorkersInAll < 1 {
		return fmt.Errorf("maxWorkersInAll: %d: give 1 or more", *l.MaxWorkersInAll)
	}
	for _, option := range l.SbatchOptions {
		if !strings.HasPrefix(option, "--") || strings.ContainsAny(option, "= \t") {
			return fmt.Errorf("sbatchOptions: %q: give the long name of an option alone, such as --constraint", option)
		}
	}
	return nil
}
