package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"tigerflow.dev/tigerflow/spool"
)

// keys is what this bridge remembers of the Tasks that it has started workers for, so that one that comes back can tell its
// own jobs from those of other bridges and of tigerflow run, which belong to the same user: the folder of the spool by key.
// A key is on disk before the first job of that key is submitted.
type keys struct {
	path string

	mu     sync.Mutex
	spools map[string]spool.Name
}

// keysFile is the content of the file.
type keysFile struct {
	Plane  string                `json:"plane"` // whose it is, for people
	Spools map[string]spool.Name `json:"spools"`
}

// stateDir is where programs keep what is to last: the XDG Base Directory Specification has the rule.
func stateDir() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "tigerflow"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding a place for the bridge's state: %w: set XDG_STATE_HOME", err)
	}
	return filepath.Join(home, ".local", "state", "tigerflow"), nil
}

// bridgeFile is the path below dir of what one bridge keeps. No two of different clusters and namespaces are the same.
func bridgeFile(dir, server, namespace, name, extension string) string {
	host := strings.NewReplacer("https://", "", "http://", "", "/", "_", ":", "_").Replace(server)
	return filepath.Join(dir, "bridges", host, namespace, name+extension)
}

func readKeys(path string) (*keys, error) {
	k := &keys{path: path, spools: map[string]spool.Name{}}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return nil, err
	}
	var f keysFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("%s is no state of a bridge: %w: move it away; jobs of Tasks that were deleted meanwhile are then left to end by themselves", path, err)
	}
	maps.Copy(k.spools, f.Spools)
	return k, nil
}

// add remembers a key, durably.
func (k *keys) add(plane, key, dir string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if known, ok := k.spools[key]; ok && string(known) == dir {
		return nil
	}
	next := maps.Clone(k.spools)
	next[key] = spool.Name(dir)
	return k.write(plane, next)
}

// remove forgets keys.
func (k *keys) remove(plane string, gone ...string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	next := maps.Clone(k.spools)
	for _, key := range gone {
		delete(next, key)
	}
	if len(next) == len(k.spools) {
		return nil
	}
	return k.write(plane, next)
}

// all is every key that is remembered, with its spool's folder.
func (k *keys) all() map[string]spool.Name {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.spools)
}

func (k *keys) has(key string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, ok := k.spools[key]
	return ok
}

func (k *keys) write(plane string, next map[string]spool.Name) error {
	text, err := json.MarshalIndent(keysFile{Plane: plane, Spools: next}, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(k.path), 0o700); err != nil {
		return err
	}
	if err := replaceFile(k.path, append(text, '\n')); err != nil {
		return fmt.Errorf("remembering whose jobs are the bridge's: %w", err)
	}
	k.spools = next
	return nil
}
