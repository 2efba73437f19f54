// Package spool is what a Task keeps on disk and every rule about it: the layout, the records, who may write what, and
// how an output is published exactly once. Dispatcher and workers, on different hosts with nothing but a shared file
// system between them, meet here. docs/spool.md is its specification.
//
// The package imports the standard library only.
package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// FormatVersion is the format that this package writes.
const FormatVersion = 1

// Owner names the object that a spool works for.
type Owner struct {
	Plane     string `json:"plane"` // the control plane: the URL of a cluster's, "embedded" for the built-in one
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

func (o Owner) String() string {
	if o.Namespace == "" {
		return o.Name + " of " + o.Plane
	}
	return o.Namespace + "/" + o.Name + " of " + o.Plane
}

// Manifest is the content of spool.json.
type Manifest struct {
	Format int    `json:"format"`
	ID     string `json:"id"`             // random, made once: worker ids derive from it
	Path   Name   `json:"path,omitempty"` // of the spool's folder, absolute, where the Spec was written
	Owner  Owner  `json:"owner"`
	Spec   Spec   `json:"spec"`
}

// Spool is the folder of one Task.
type Spool struct {
	dir      string
	manifest Manifest
}

// FormatError means that a spool was written in a format this package does not know.
type FormatError struct {
	Dir    string
	Format int
}

func (e *FormatError) Error() string {
	if e.Format < FormatVersion {
		return fmt.Sprintf("the spool %s has format %d, which no tigerflow has written, and this one knows %d: move the folder away to begin anew",
			e.Dir, e.Format, FormatVersion)
	}
	return fmt.Sprintf("the spool %s has format %d and this tigerflow knows %d: use the newer tigerflow, or move the folder away to begin anew",
		e.Dir, e.Format, FormatVersion)
}

// Tasks lists the Tasks that have a spool below an output folder, in order. There are none in a folder that is not there.
func Tasks(outputDir string) ([]string, error) {
	tasks := filepath.Dir(Dir(outputDir, "any"))
	entries, err := os.ReadDir(tasks)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if _, err := os.Lstat(filepath.Join(tasks, e.Name(), "spool.json")); err == nil {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// Open opens a spool that exists.
func Open(dir string) (*Spool, error) {
	s := &Spool{dir: dir}
	if err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// Create opens the spool in dir, and makes it first if there is none.
func Create(dir string, owner Owner, spec Spec) (*Spool, error) {
	s, err := Open(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	for _, sub := range []string{"dispatch", "queue", "requests", "workers", "logs", "lib"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o777); err != nil {
			return nil, err
		}
	}
	path, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	m := Manifest{Format: FormatVersion, ID: nonce(), Path: Name(path), Owner: owner, Spec: spec}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	if _, err := writeFileOnce(filepath.Join(dir, "spool.json"), append(data, '\n')); err != nil {
		return nil, err
	}
	if err := SyncDir(dir); err != nil {
		return nil, err
	}
	return Open(dir) // another may have been quicker
}

// Reload reads spool.json again.
func (s *Spool) Reload() error {
	path := s.path("spool.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var version struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return fmt.Errorf("%s is damaged: %w", path, err)
	}
	if version.Format != FormatVersion { // told before the rest is read: it may look quite different
		return &FormatError{Dir: s.dir, Format: version.Format}
	}
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("%s is damaged: %w", path, err)
	}
	m.Spec.see(hereOf(string(m.Path), s.dir))
	s.manifest = m
	return nil
}

// Path is the folder of the spool.
func (s *Spool) Path() string { return s.dir }

// ID is the random name given to the spool when it was made.
func (s *Spool) ID() string { return s.manifest.ID }

// Owner is the object that the spool works for.
func (s *Spool) Owner() Owner { return s.manifest.Owner }

// Spec is the Task as the workers see it, with the folders where this host has them.
func (s *Spool) Spec() *Spec { return &s.manifest.Spec }

// update writes spool.json anew; only the holder of the lock may.
func (s *Spool) update(owner Owner, spec Spec) error {
	path, err := filepath.Abs(s.dir)
	if err != nil {
		return err
	}
	m := s.manifest
	m.Path, m.Owner, m.Spec = Name(path), owner, spec
	if err := writeJSON(s.path("spool.json"), m); err != nil {
		return fmt.Errorf("writing the Task into its spool: %w", err)
	}
	s.manifest = m
	return nil
}

// InstallLib puts a file of the worker's own (the Python package, say) where all workers of the Task find it. The name
// should tell the content apart, for other workers may be reading what another version of it has put there.
func (s *Spool) InstallLib(name string, data []byte) (string, error) {
	path := s.path("lib", name)
	if there, err := os.ReadFile(path); err == nil && bytes.Equal(there, data) {
		return path, nil
	}
	return path, writeFile(path, data)
}
