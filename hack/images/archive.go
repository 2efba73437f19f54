package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/match"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// writeArchive writes a tar of an OCI image layout with one index of the images of all platforms, and returns that index' digest.
func (o *options) writeArchive(file, ref string, images []platformImage) (digest v1.Hash, err error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, i := range images {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: i.image, Descriptor: v1.Descriptor{Platform: &i.platform}})
	}
	if digest, err = index.Digest(); err != nil {
		return digest, err
	}
	dir, err := os.MkdirTemp(o.work, "layout-")
	if err != nil {
		return digest, err
	}
	l, err := layout.Write(dir, empty.Index)
	if err != nil {
		return digest, err
	}
	// The first is what containerd names an image by, the second what skopeo and Apptainer do.
	annotations := map[string]string{"io.containerd.image.name": ref, "org.opencontainers.image.ref.name": ref}
	if err := l.AppendIndex(index, layout.WithAnnotations(annotations)); err != nil {
		return digest, err
	}
	return digest, tarFolder(file, dir)
}

// tarFolder writes all files below a folder; Apptainer needs the folders' own entries too.
func tarFolder(file, dir string) error {
	t := newTree()
	if err := t.add("", dir); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".image-")
	if err != nil {
		return err
	}
	if err := errors.Join(t.write(f), f.Chmod(0o644), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), file)
}

// readBase finds an image for a platform in an OCI archive, if there is such a file, or else in a registry. The image is read
// from the folder work as long as it is used.
func readBase(base, work string, p v1.Platform) (v1.Image, error) {
	f, err := os.Open(base)
	if err == nil {
		defer f.Close()
		return readArchive(f, work, p)
	}
	if !errors.Is(err, fs.ErrNotExist) || strings.HasPrefix(base, "/") || strings.HasPrefix(base, ".") || strings.HasSuffix(base, ".tar") {
		return nil, err // no registry is asked for a file
	}
	ref, err := name.ParseReference(base)
	if err != nil {
		return nil, err
	}
	return remote.Image(ref, remote.WithPlatform(p))
}

// readArchive unpacks an OCI archive and finds the image for a platform.
func readArchive(r io.Reader, work string, p v1.Platform) (v1.Image, error) {
	t, err := readTree(r)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(work, "base-")
	if err != nil {
		return nil, err
	}
	for place, e := range t.entries {
		if e.kind != tar.TypeReg {
			continue
		}
		file := filepath.Join(dir, filepath.FromSlash(place))
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, e.data, 0o644)); err != nil {
			return nil, err
		}
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	found, err := findImages(index, match.Platforms(p))
	if err != nil {
		return nil, err
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("the archive has %d images for %s, not one", len(found), p)
	}
	return found[0], nil
}

// findImages looks also into indexes of an index.
func findImages(index v1.ImageIndex, m match.Matcher) ([]v1.Image, error) {
	found, err := partial.FindImages(index, m)
	if err != nil {
		return nil, err
	}
	inner, err := partial.FindIndexes(index, match.MediaTypes(string(types.OCIImageIndex), string(types.DockerManifestList)))
	if err != nil {
		return nil, err
	}
	for _, i := range inner {
		more, err := findImages(i, m)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	return found, nil
}
