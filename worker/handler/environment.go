package handler

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/task/protocol"
)

// executorEnv is the executor's business with the worker. Its descriptor is not open in a handler.
const executorEnv = "TIGERFLOW_LIFELINE"

// environment is that of the worker, overruled by the Spec's env file, that by the Spec's variables, and those by what
// the handler protocol sets.
func environment(c Config) ([]string, error) {
	vars := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, executorEnv+"=") })
	if c.Spec.EnvFile != "" {
		more, err := readEnvFile(c.Spec.EnvFile, c.Spec.WorkDir)
		if err != nil {
			return nil, err
		}
		vars = append(vars, more...)
	}
	for _, v := range c.Spec.Env {
		if !envName.MatchString(v.Name) || strings.Contains(v.Value, "\x00") {
			return nil, setupError(protocol.StageSetup, "EnvError",
				"env %q: a name has letters, digits and underscores, a value no NUL", v.Name)
		}
		vars = append(vars, v.Name+"="+v.Value)
	}
	vars = append(vars,
		protocol.EnvTask+"="+c.Spec.Task,
		protocol.EnvWorker+"="+c.Worker,
		protocol.EnvEpoch+"="+c.Epoch,
	)
	return lastOfEach(vars), nil
}

// lastOfEach keeps the last setting of each variable: programs differ in which of several they take.
func lastOfEach(vars []string) []string {
	place := make(map[string]int, len(vars))
	kept := vars[:0:0]
	for _, v := range vars {
		name, _, _ := strings.Cut(v, "=")
		if i, seen := place[name]; seen {
			kept[i] = v
			continue
		}
		place[name] = len(kept)
		kept = append(kept, v)
	}
	return kept
}

func lookupEnv(env []string, name string) string {
	for _, v := range env {
		if value, found := strings.CutPrefix(v, name+"="); found {
			return value
		}
	}
	return ""
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func readEnvFile(file, dir spool.Name) ([]string, error) {
	path := string(file)
	if !filepath.IsAbs(path) {
		path = filepath.Join(string(dir), path)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, setupError(protocol.StageSetup, "EnvFileError", "envFile: %v", err)
	}
	vars, err := parseEnv(content)
	if err != nil {
		return nil, setupError(protocol.StageSetup, "EnvFileError", "envFile %s: %v", path, err)
	}
	return vars, nil
}

// parseEnv reads lines KEY=VALUE, with or without `export` before and one kind of quotes around the value. Empty lines
// and those that begin with # are skipped. Nothing is expanded. Errors name the line and show nothing of it, for it may
// hold a secret.
func parseEnv(content []byte) ([]string, error) {
	var vars []string
	for i, line := range bytes.Split(bytes.TrimPrefix(content, []byte("\uFEFF")), []byte("\n")) {
		text := strings.TrimSpace(string(line))
		if text == "" || text[0] == '#' {
			continue
		}
		name, value, err := parseVariable(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		vars = append(vars, name+"="+value)
	}
	return vars, nil
}

func parseVariable(text string) (name, value string, err error) {
	if rest, found := strings.CutPrefix(text, "export "); found {
		text = strings.TrimSpace(rest)
	}
	name, value, found := strings.Cut(text, "=")
	if !found || !envName.MatchString(name) {
		return "", "", errors.New("want KEY=VALUE, where KEY has letters, digits and underscores")
	}
	value = strings.TrimSpace(value)
	if value != "" && (value[0] == '"' || value[0] == '\'') {
		if len(value) < 2 || value[len(value)-1] != value[0] {
			return "", "", fmt.Errorf("the value of %s begins with a quote and must end with it", name)
		}
		value = value[1 : len(value)-1]
	}
	if strings.Contains(value, "\x00") {
		return "", "", fmt.Errorf("the value of %s contains a NUL", name)
	}
	return name, value, nil
}
