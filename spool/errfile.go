package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// ErrorFile is the content of an .err file. The first five fields are TigerFlow's.
type ErrorFile struct {
	File          Name      `json:"file"`
	Timestamp     time.Time `json:"timestamp"`
	ExceptionType string    `json:"exception_type"`
	Message       string    `json:"message"`
	Traceback     string    `json:"traceback"`
	Attempts      int       `json:"attempts"`
	Crashes       int       `json:"crashes,omitempty"`
	Worker        string    `json:"worker,omitempty"`
	ExitCode      int       `json:"exit_code,omitempty"`
	Stderr        string    `json:"stderr,omitempty"`
}

// WriteError writes the error file of an input and reports whether it did: where there is an output, that one wins.
// Dispatchers alone write error files.
func (l *Lock) WriteError(stem string, e ErrorFile) (bool, error) {
	spec := l.spool.Spec()
	if _, err := os.Lstat(filepath.Join(string(spec.OutputDir), OutputName(stem, spec.OutputExt))); err == nil {
		return false, nil
	}
	var data bytes.Buffer
	text := json.NewEncoder(&data)
	text.SetIndent("", "  ")
	text.SetEscapeHTML(false) // people read it: tracebacks name <module> and <lambda>
	if err := text.Encode(e); err != nil {
		return false, err
	}
	if err := spec.makeFolder(stem); err != nil {
		return false, err
	}
	tmp := filepath.Join(l.spool.epochDir(l.epoch), newPrefix+"error")
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return false, fmt.Errorf("writing an error file: %w", err)
	}
	_, err = f.Write(data.Bytes())
	if l.spool.Spec().Durability == Fsync {
		err = errors.Join(err, f.Sync())
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = replace(tmp, filepath.Join(string(spec.OutputDir), ErrName(stem)))
	}
	if err != nil {
		_ = os.Remove(tmp)
		return false, fmt.Errorf("writing an error file: %w", err)
	}
	return true, nil
}

// ReadError reads the error file of an input, and tells where it lies. Of one that is not there it tells the input's name.
func (s *Spool) ReadError(stem string) (path string, e ErrorFile, err error) {
	spec := s.Spec()
	path = filepath.Join(string(spec.OutputDir), ErrName(stem))
	if err = readJSON(path, &e); err != nil {
		e = ErrorFile{File: Name(stem + spec.InputExt)}
	}
	return path, e, err
}

// RemoveError removes the error file of an input that is to be run again, or whose output has come.
func (l *Lock) RemoveError(stem string) error {
	err := os.Remove(filepath.Join(string(l.spool.Spec().OutputDir), ErrName(stem)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
