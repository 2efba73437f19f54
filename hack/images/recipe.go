package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// recipe is an image.yaml.
type recipe struct {
	folder string

	// Programs are Go packages of this module by their place in the image; each is built static, for the image's architecture.
	Programs map[string]string `json:"programs,omitempty"`
	// Files are files and folders of this repository by their place in the image.
	Files map[string]string `json:"files,omitempty"`
	// Links are symbolic links, by their place in the image.
	Links map[string]string `json:"links,omitempty"`

	Entrypoint []string `json:"entrypoint,omitempty"`
	Env        []string `json:"env,omitempty"`
	// User is that of the image's processes: numbers, as Kubernetes cannot tell of a name that it is not root.
	User string `json:"user,omitempty"`
	// MaxMegabytes is how large the image of one platform may be, compressed; 0 is no limit.
	MaxMegabytes float64 `json:"maxMegabytes,omitempty"`
	// Description is org.opencontainers.image.description.
	Description string `json:"description,omitempty"`
}

func readRecipe(folder string) (*recipe, error) {
	text, err := os.ReadFile(filepath.Join(folder, "image.yaml"))
	if err != nil {
		return nil, err
	}
	r := &recipe{folder: folder, User: "65532:65532"}
	if err := yaml.UnmarshalStrict(text, r); err != nil {
		return nil, fmt.Errorf("image.yaml: %w", err)
	}
	return r, nil
}

// rootfs is the script that makes the lowest layer, or "".
func (r *recipe) rootfs() (string, error) {
	path := filepath.Join(r.folder, "rootfs.sh")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}
