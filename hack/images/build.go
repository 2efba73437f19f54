package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// errLeftOut is what an image fails with that cannot be made on this machine.
var errLeftOut = errors.New("it cannot be made here")

type platformImage struct {
	platform v1.Platform
	image    v1.Image
}

// build makes the image of one platform, and tells what is in it.
func (o *options) build(r *recipe, p v1.Platform) (v1.Image, []item, error) {
	image, err := o.lowest(p)
	if err != nil {
		return nil, nil, fmt.Errorf("-base: %w", err)
	}
	var contents []item
	script, err := r.rootfs()
	if err != nil {
		return nil, nil, err
	}
	if script != "" && o.base == "" {
		files, err := runRootfs(script, p.Architecture)
		if err != nil {
			return nil, nil, err
		}
		contents = append(contents, debianPackages(files)...)
		if image, err = addLayer(image, files, "rootfs.sh"); err != nil {
			return nil, nil, err
		}
	}
	files, items, err := o.files(r, p)
	if err != nil {
		return nil, nil, err
	}
	if image, err = addLayer(image, files, "image.yaml"); err != nil {
		return nil, nil, err
	}
	image, err = o.configure(image, r, p)
	return image, append(contents, items...), err
}

// lowest is the image to build upon.
func (o *options) lowest(p v1.Platform) (v1.Image, error) {
	if o.base != "" {
		return readBase(o.base, o.work, p)
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	return image, nil
}

// files are what the recipe itself puts into the image. An image without a base gets what programs expect everywhere.
func (o *options) files(r *recipe, p v1.Platform) (*tree, []item, error) {
	t := newTree()
	var contents []item
	if o.base == "" {
		t.dir("tmp", 0o1777)
		t.file("etc/passwd", 0o644, []byte("root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n"))
		t.file("etc/group", 0o644, []byte("root:x:0:\nnonroot:x:65532:\n"))
	}
	for _, place := range slices.Sorted(maps.Keys(r.Programs)) {
		program, err := o.compile(r.Programs[place], p)
		if err != nil {
			return nil, nil, err
		}
		t.file(place, 0o755, program)
		items, err := goModules(program)
		if err != nil {
			return nil, nil, err
		}
		contents = append(contents, items...)
	}
	for place, source := range r.Files {
		if err := t.add(place, source); err != nil {
			return nil, nil, err
		}
	}
	for place, target := range r.Links {
		t.link(place, target)
	}
	return t, contents, nil
}

// compile builds a static program for a platform, the same from the same sources wherever they lie.
func (o *options) compile(pkg string, p v1.Platform) ([]byte, error) {
	out := filepath.Join(o.work, "program")
	flags := "-s -w -X tigerflow.dev/tigerflow/internal/version.Version=" + o.version
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.OS, "GOARCH="+p.Architecture, "GOFLAGS=")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("building %s: %w", pkg, err)
	}
	return os.ReadFile(out)
}

// runRootfs reads the tar that a script writes.
func runRootfs(script, arch string) (*tree, error) {
	cmd := exec.Command(script, arch)
	var tar, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &tar, io.MultiWriter(&said, os.Stderr)
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 75 {
		return nil, fmt.Errorf("%w: %s", errLeftOut, bytes.TrimSpace(said.Bytes()))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", script, err)
	}
	return readTree(&tar)
}

func addLayer(image v1.Image, t *tree, by string) (v1.Image, error) {
	var text bytes.Buffer
	if err := t.write(&text); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(text.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
	if err != nil {
		return nil, err
	}
	return mutate.Append(image, mutate.Addendum{Layer: layer, History: v1.History{CreatedBy: by, Created: v1.Time{Time: epoch}}})
}

// configure sets how the image is run.
func (o *options) configure(image v1.Image, r *recipe, p v1.Platform) (v1.Image, error) {
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = p.OS, p.Architecture, p.Variant
	config.Created = v1.Time{Time: epoch}
	config.Config.User = r.User
	config.Config.Entrypoint, config.Config.Cmd = r.Entrypoint, nil
	config.Config.Env = append(config.Config.Env, r.Env...)
	if !slices.ContainsFunc(config.Config.Env, func(e string) bool { return strings.HasPrefix(e, "PATH=") }) {
		config.Config.Env = append(config.Config.Env, "PATH=/usr/local/bin:/usr/bin:/bin")
	}
	config.Config.Labels = map[string]string{
		"org.opencontainers.image.title":       "tigerflow-" + path.Base(filepath.ToSlash(r.folder)),
		"org.opencontainers.image.description": r.Description,
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.version":     o.version,
	}
	return mutate.ConfigFile(image, config)
}
