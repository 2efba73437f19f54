// Command images builds container images as OCI archives, without a daemon and without a registry.
//
//	go run ./hack/images [-o DIR] [-version V] [-repository R] [-platforms P,…] [-base IMAGE] FOLDER…
//
// Each FOLDER has an image.yaml (see recipe) and gives its name to the image R/FOLDER:V, to the archive DIR/FOLDER.tar, which holds
// one image a platform, and to its list of contents, DIR/FOLDER.spdx.json. The same sources give the same bytes. If a FOLDER has a
// rootfs.sh and no base is named, its standard output for an architecture is the tar of the lowest layer; where it ends
// with 75 (EX_TEMPFAIL) the image is left out, and what it wrote to standard error says why.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

type options struct {
	dir, version, repository, base string
	platforms                      []v1.Platform
	work                           string // a folder for temporary files
	out                            io.Writer
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) (err error) {
	o := options{out: out}
	flags := flag.NewFlagSet("images", flag.ContinueOnError)
	var platforms string
	flags.StringVar(&o.dir, "o", ".", "`folder` of the archives")
	flags.StringVar(&o.version, "version", "dev", "tag of the images, and what their programs tell as their version")
	flags.StringVar(&o.repository, "repository", "tigerflow.dev", "what comes before the images' names")
	flags.StringVar(&o.base, "base", "", "image to build upon, as an OCI archive or the name of an image in a registry; none: from scratch")
	flags.StringVar(&platforms, "platforms", "linux/amd64,linux/arm64", "platforms of the images")
	if err := flags.Parse(args); err != nil {
		return err
	}
	for name := range strings.SplitSeq(platforms, ",") {
		p, err := v1.ParsePlatform(name)
		if err != nil {
			return fmt.Errorf("-platforms: %w", err)
		}
		o.platforms = append(o.platforms, *p)
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	if o.work, err = os.MkdirTemp("", "tigerflow-images-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.work)) }()
	for _, folder := range flags.Args() {
		if err := o.make(folder); errors.Is(err, errLeftOut) {
			fmt.Fprintf(os.Stderr, "image %s is left out: %v\n", filepath.Base(folder), err)
		} else if err != nil {
			return fmt.Errorf("image %s: %w", filepath.Base(folder), err)
		}
	}
	return nil
}

// make writes the archive and the list of contents of one image, and prints how large it is.
func (o *options) make(folder string) error {
	r, err := readRecipe(folder)
	if err != nil {
		return err
	}
	name := filepath.Base(folder)
	var images []platformImage
	var contents []item
	for _, p := range o.platforms {
		image, items, err := o.build(r, p)
		if err != nil {
			return fmt.Errorf("for %s: %w", p, err)
		}
		images = append(images, platformImage{p, image})
		contents = append(contents, items...)
	}
	ref := o.repository + "/" + name + ":" + o.version
	archive := filepath.Join(o.dir, name+".tar")
	digest, err := o.writeArchive(archive, ref, images)
	if err != nil {
		return err
	}
	if err := writeSBOM(filepath.Join(o.dir, name+".spdx.json"), ref, digest, contents); err != nil {
		return err
	}
	for _, i := range images {
		size, err := compressedSize(i.image)
		if err != nil {
			return err
		}
		megabytes, goal := float64(size)/1e6, ""
		if r.MaxMegabytes > 0 {
			goal = fmt.Sprintf(", goal at most %g", r.MaxMegabytes)
		}
		if _, err := fmt.Fprintf(o.out, "%s\t%s\t%s\t%.1f MB compressed%s\n", archive, ref, i.platform, megabytes, goal); err != nil {
			return err
		}
		if r.MaxMegabytes > 0 && megabytes > r.MaxMegabytes {
			return fmt.Errorf("for %s: it has %.1f MB, more than maxMegabytes", i.platform, megabytes)
		}
	}
	return nil
}

// compressedSize is what a node downloads, in bytes.
func compressedSize(image v1.Image) (size int64, err error) {
	m, err := image.Manifest()
	if err != nil {
		return 0, err
	}
	size = m.Config.Size
	for _, l := range m.Layers {
		size += l.Size
	}
	return size, nil
}
