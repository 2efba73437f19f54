package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// epoch is the time of all there is in an image: that of a build would make each one another.
var epoch = time.Unix(0, 0).UTC()

// tree is the files of a layer by path, without a slash at the start. All belong to root.
type tree struct{ entries map[string]entry }

type entry struct {
	kind byte // of package tar
	mode int64
	link string
	data []byte
}

func newTree() *tree { return &tree{map[string]entry{}} }

func clean(place string) string { return strings.TrimPrefix(path.Clean("/"+place), "/") }

// put adds an entry, and folders down to it that are not there.
func (t *tree) put(place string, e entry) {
	place = clean(place)
	t.entries[place] = e
	for dir := path.Dir(place); dir != "."; dir = path.Dir(dir) {
		if _, ok := t.entries[dir]; !ok {
			t.entries[dir] = entry{kind: tar.TypeDir, mode: 0o755}
		}
	}
}

func (t *tree) dir(place string, mode int64) { t.put(place, entry{kind: tar.TypeDir, mode: mode}) }
func (t *tree) file(place string, mode int64, data []byte) {
	t.put(place, entry{tar.TypeReg, mode, "", data})
}

func (t *tree) link(place, target string) { t.put(place, entry{tar.TypeSymlink, 0o777, target, nil}) }

// add copies a file or a folder of this machine; what Python compiled in it stays here.
func (t *tree) add(place, source string) error {
	return filepath.WalkDir(source, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Name() == "__pycache__" {
			return fs.SkipDir
		}
		if d.IsDir() {
			return nil
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s is neither a file nor a folder", name)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		below, err := filepath.Rel(source, name)
		if err != nil {
			return err
		}
		t.file(path.Join(place, filepath.ToSlash(below)), int64(0o644|info.Mode().Perm()&0o111), data)
		return nil
	})
}

// readTree reads a tar. Its devices, owners and times are left out.
func readTree(r io.Reader) (*tree, error) {
	t := newTree()
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return nil, err
		}
		place := clean(h.Name)
		switch h.Typeflag {
		case tar.TypeDir:
			if place != "" {
				t.dir(place, h.Mode&0o7777)
			}
		case tar.TypeReg:
			data, err := io.ReadAll(in)
			if err != nil {
				return nil, err
			}
			t.file(place, h.Mode&0o777, data) // nothing in an image of ours is setuid
		case tar.TypeSymlink:
			t.link(place, h.Linkname)
		case tar.TypeLink:
			target, ok := t.entries[clean(h.Linkname)]
			if !ok {
				return nil, fmt.Errorf("%s is a link to %s, which is not there", h.Name, h.Linkname)
			}
			t.put(place, target)
		}
	}
}

// write writes a tar that depends on nothing but the tree.
func (t *tree) write(w io.Writer) error {
	out := tar.NewWriter(w)
	for _, place := range slices.Sorted(maps.Keys(t.entries)) {
		e := t.entries[place]
		h := &tar.Header{Name: place, Typeflag: e.kind, Mode: e.mode, Linkname: e.link, Size: int64(len(e.data)), ModTime: epoch}
		if e.kind == tar.TypeDir {
			h.Name += "/"
		}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := out.Write(e.data); err != nil {
			return err
		}
	}
	return out.Close()
}
