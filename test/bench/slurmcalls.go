package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// calls counts calls of Slurm's commands: programs of the same names, first on the PATH, note each and go on as the real one.
type calls struct{ dir string }

var slurmTools = []string{"sbatch", "scancel", "scontrol", "sacct", "squeue", "sinfo"}

const countingSource = `#!/bin/sh
echo %[1]s >>%[2]s/calls
exec %[3]s "$@"
`

func countCalls(dir string) (*calls, error) {
	c := &calls{dir}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	for _, tool := range slurmTools {
		path, err := exec.LookPath(tool)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, tool), fmt.Appendf(nil, countingSource, tool, dir, path), 0o755); err != nil {
			return nil, err
		}
	}
	return c, os.WriteFile(filepath.Join(dir, "calls"), nil, 0o644)
}

// env is that of a program whose calls are counted.
func (c *calls) env() []string {
	return append(os.Environ(), "PATH="+c.dir+":"+os.Getenv("PATH"))
}

// tally is a number of calls by tool.
type tally map[string]int

func (c *calls) tally() (tally, error) {
	text, err := os.ReadFile(filepath.Join(c.dir, "calls"))
	t := tally{}
	for tool := range strings.FieldsSeq(string(text)) {
		t[tool]++
	}
	return t, err
}

// since is what has been called since an earlier count.
func (t tally) since(earlier tally) tally {
	d := tally{}
	for tool, n := range t {
		if n > earlier[tool] {
			d[tool] = n - earlier[tool]
		}
	}
	return d
}

func (t tally) sum() (sum int) {
	for _, n := range t {
		sum += n
	}
	return sum
}

func (t tally) String() string {
	if len(t) == 0 {
		return "no calls"
	}
	var parts []string
	for _, tool := range slices.Sorted(maps.Keys(t)) {
		parts = append(parts, fmt.Sprintf("%d %s", t[tool], tool))
	}
	return strings.Join(parts, ", ")
}
