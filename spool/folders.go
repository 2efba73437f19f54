package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// makeFolder makes the folders that the output of this relative name lies in, where they are missing: the one above it
// first, and never the output folder itself, which somebody has removed if it is missing.
func (s *Spec) makeFolder(output string) error {
	for i, c := range output {
		if c != '/' {
			continue
		}
		path := filepath.Join(string(s.OutputDir), output[:i])
		err := os.Mkdir(path, 0o777)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil && s.Durability == Fsync {
			err = SyncDir(filepath.Dir(path))
		}
		if err != nil {
			return fmt.Errorf("making a folder for outputs: %w", err)
		}
	}
	return nil
}

// walk calls fn with the relative names of all that lies below dir and is no folder; if deep is false only directly in it.
// Folders that Enters refuses and the one that skip is are passed over, as are links to folders. A folder that is not
// there, or has gone meanwhile, is empty.
func walk(dir string, deep bool, skip fs.FileInfo, fn func(name string, e fs.DirEntry)) error {
	dir = filepath.Clean(dir)
	// The slash is for a dir that is a link.
	return filepath.WalkDir(dir+"/", func(path string, e fs.DirEntry, err error) error {
		name, _ := strings.CutPrefix(path, dir)
		name = strings.TrimPrefix(name, "/")
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case name == "":
			return nil
		case !e.IsDir():
			fn(name, e)
			return nil
		case !deep || !Enters(e.Name()):
			return fs.SkipDir
		}
		if info, err := e.Info(); err == nil && skip != nil && os.SameFile(info, skip) {
			return fs.SkipDir
		}
		return nil
	})
}
