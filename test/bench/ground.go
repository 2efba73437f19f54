package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const memory = "/dev/shm"

// ground is a fresh file system to measure on, or a fresh folder of a given one. Nothing is deleted before it is closed:
// ext4 is several times slower for a while where much was deleted.
type ground struct {
	dir  string
	kind string
	undo []func() error
}

// newGround makes room for so many files, inputs and outputs together: in the folder asked for, else in an ext4 image in
// memory, else, where mounting is not permitted, in memory without one.
func (b *bench) newGround(files int) (*ground, error) {
	if b.dir != "" {
		return newFolder(b.dir, b.dir)
	}
	g, err := newImage(files)
	if err == nil {
		return g, nil
	}
	fmt.Fprintf(b.log, "no ext4 image (%v): measuring in %s itself\n", err, memory)
	return newFolder(memory, "tmpfs")
}

func newFolder(parent, kind string) (*ground, error) {
	dir, err := os.MkdirTemp(parent, "tigerflow-bench-")
	if err != nil {
		return nil, err
	}
	return &ground{dir: dir, kind: kind, undo: []func() error{func() error { return os.RemoveAll(dir) }}}, nil
}

// newImage mounts an image. Its tables are written in advance, and nothing writes times of access.
func newImage(files int) (_ *ground, err error) {
	g, err := newFolder(memory, "ext4 in memory")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.close())
		}
	}()
	image, mount := filepath.Join(g.dir, "image"), filepath.Join(g.dir, "mount")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Mkdir(mount, 0o755)); err != nil {
		return nil, err
	}
	const block = 4 << 10
	if err := os.Truncate(image, 4<<30+int64(files)*2*block); err != nil { // sparse
		return nil, err
	}
	if err := command("mkfs.ext4", "-q", "-F", "-m", "0", "-N", fmt.Sprint(files+100_000),
		"-E", "lazy_itable_init=0,lazy_journal_init=0", image); err != nil {
		return nil, err
	}
	if err := command("mount", "-o", "loop,noatime", image, mount); err != nil {
		return nil, err
	}
	g.undo = append(g.undo, func() error { return command("umount", mount) })
	g.dir = mount
	return g, nil
}

func command(name string, args ...string) error {
	if said, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, said)
	}
	return nil
}

func (g *ground) path(elem ...string) string {
	return filepath.Join(append([]string{g.dir}, elem...)...)
}

// close gives everything back.
func (g *ground) close() error {
	for len(g.undo) > 0 {
		last := len(g.undo) - 1
		if err := g.undo[last](); err != nil {
			return err
		}
		g.undo = g.undo[:last]
	}
	return nil
}

// inputs makes a folder of small files that are old enough to be taken at once.
func (g *ground) inputs(folder string, files int) error {
	if err := os.MkdirAll(g.path(folder), 0o755); err != nil {
		return err
	}
	old := time.Now().Add(-time.Hour)
	for i := range files {
		path := g.path(folder, inputName(i))
		if err := os.WriteFile(path, fmt.Appendf(nil, "content of file %d\n", i), 0o644); err != nil {
			return err
		}
		if err := os.Chtimes(path, old, old); err != nil {
			return err
		}
	}
	return nil
}

func inputName(i int) string { return fmt.Sprintf("%07d.txt", i) }
