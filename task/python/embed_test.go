package python

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Patterns of go:embed name every folder: one that a new subpackage adds must not be forgotten.
func TestZipHoldsTheWholePackage(t *testing.T) {
	data, _, err := Zip()
	if err != nil {
		t.Fatal(err)
	}
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	packed := map[string][]byte{}
	for _, f := range archive.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if packed[f.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	count := 0
	err = filepath.WalkDir("tigerflow", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".py" {
			return err
		}
		count++
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !bytes.Equal(packed[path], content) {
			t.Errorf("%s is not packed as it is", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if count != len(packed) {
		t.Errorf("%d files are packed, %d are there", len(packed), count)
	}
}

func TestZipIsDeterministic(t *testing.T) {
	first, hash, err := Zip()
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := Zip()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Error("two zips differ")
	}
	if sum := sha256.Sum256(first); hash != hex.EncodeToString(sum[:])[:16] {
		t.Errorf("hash is %s", hash)
	}
}

func TestPythonImportsTheZip(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	data, hash, err := Zip()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tigerflow-"+hash+".zip")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", "import tigerflow.tasks, tigerflow.library.echo; print(tigerflow.__file__)")
	cmd.Dir = t.TempDir()
	cmd.Env = slices.Concat(os.Environ(), []string{"PYTHONPATH=" + path})
	out, err := cmd.CombinedOutput()
	if want := filepath.Join(path, "tigerflow", "__init__.py"); err != nil || strings.TrimSpace(string(out)) != want {
		t.Errorf("%v: %s, want %s", err, out, want)
	}
}
