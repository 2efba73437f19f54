package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

const module = "tigerflow.dev/tigerflow/hack/kubernetes/pause"

var amd64 = v1.Platform{OS: "linux", Architecture: "amd64"}

// folder makes the sources of an image.
func folder(t *testing.T, recipe string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "example")
	must(t, os.MkdirAll(filepath.Join(dir, "data", "__pycache__"), 0o755))
	write(t, filepath.Join(dir, "data", "b"), "b")
	write(t, filepath.Join(dir, "data", "a"), "a")
	write(t, filepath.Join(dir, "data", "__pycache__", "a.pyc"), "c")
	write(t, filepath.Join(dir, "image.yaml"), strings.ReplaceAll(recipe, "DIR", dir))
	return dir
}

const recipeText = `
programs: {/pause: ` + module + `}
files: {/data: DIR/data}
links: {/bin/stop: ../pause}
entrypoint: [/pause]
env: [A=b]
`

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	must(t, os.WriteFile(file, []byte(text), 0o644))
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	return string(text)
}

// buildIn builds an image and returns the folder of its archive.
func buildIn(t *testing.T, folder string, flags ...string) string {
	t.Helper()
	out := t.TempDir()
	must(t, run(append(append([]string{"-o", out}, flags...), folder), io.Discard))
	return out
}

func TestReproducible(t *testing.T) {
	one, two := buildIn(t, folder(t, recipeText)), buildIn(t, folder(t, recipeText))
	for _, file := range []string{"example.tar", "example.spdx.json"} {
		if read(t, filepath.Join(one, file)) != read(t, filepath.Join(two, file)) {
			t.Errorf("two builds of the same sources differ in %s", file)
		}
	}
}

// open reads an archive's image for a platform, and its files.
func open(t *testing.T, archive string, p v1.Platform) (*v1.ConfigFile, *tree) {
	t.Helper()
	f, err := os.Open(archive)
	must(t, err)
	defer f.Close()
	image, err := readArchive(f, t.TempDir(), p)
	must(t, err)
	config, err := image.ConfigFile()
	must(t, err)
	files, err := readTree(mutate.Extract(image))
	must(t, err)
	return config, files
}

func TestImage(t *testing.T) {
	out := buildIn(t, folder(t, recipeText))
	for _, arch := range []string{"amd64", "arm64"} {
		config, files := open(t, filepath.Join(out, "example.tar"), v1.Platform{OS: "linux", Architecture: arch})
		if config.Architecture != arch || config.Config.User != "65532:65532" || config.Config.Entrypoint[0] != "/pause" {
			t.Errorf("configuration: %+v", config)
		}
		if env := strings.Join(config.Config.Env, " "); !strings.Contains(env, "A=b") || !strings.Contains(env, "PATH=") {
			t.Errorf("environment: %s", env)
		}
		if e := files.entries["pause"]; e.mode != 0o755 || len(e.data) == 0 {
			t.Errorf("program: mode %o, %d bytes", e.mode, len(e.data))
		}
		if e := files.entries["tmp"]; e.mode != 0o1777 {
			t.Errorf("/tmp has mode %o", e.mode)
		}
		if files.entries["bin/stop"].link != "../pause" || string(files.entries["data/a"].data) != "a" {
			t.Error("a link or a file is missing")
		}
		if _, ok := files.entries["data/__pycache__/a.pyc"]; ok {
			t.Error("what Python compiled on this machine is in the image")
		}
	}
}

// TestLayout: Apptainer refuses an archive without entries for its folders.
func TestLayout(t *testing.T) {
	archive := filepath.Join(buildIn(t, folder(t, recipeText)), "example.tar")
	f, err := os.Open(archive)
	must(t, err)
	defer f.Close()
	files, err := readTree(f)
	must(t, err)
	if !strings.Contains(read(t, archive), "blobs/sha256/\x00") {
		t.Error("no entry for blobs/sha256/")
	}
	var index v1.IndexManifest
	must(t, json.Unmarshal(files.entries["index.json"].data, &index))
	if n := len(index.Manifests); n != 1 {
		t.Fatalf("%d images, of which Apptainer could not choose", n)
	}
	if got := index.Manifests[0].Annotations["io.containerd.image.name"]; got != "tigerflow.dev/example:dev" {
		t.Errorf("it is named %q", got)
	}
}

func TestSBOM(t *testing.T) {
	var document spdxDocument
	must(t, json.Unmarshal([]byte(read(t, filepath.Join(buildIn(t, folder(t, recipeText)), "example.spdx.json"))), &document))
	for _, p := range document.Packages {
		if p.Name == "stdlib" && strings.HasPrefix(p.ExternalRefs[0].Locator, "pkg:golang/stdlib@1.") {
			return
		}
	}
	t.Errorf("Go's library is not among %+v", document.Packages)
}

func TestBase(t *testing.T) {
	base := filepath.Join(buildIn(t, folder(t, recipeText)), "example.tar")
	server := httptest.NewServer(registry.New(registry.Logger(slog.NewLogLogger(slog.DiscardHandler, 0))))
	defer server.Close()
	ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/base:1")
	must(t, err)
	f, err := os.Open(base)
	must(t, err)
	defer f.Close()
	image, err := readArchive(f, t.TempDir(), amd64)
	must(t, err)
	must(t, remote.Write(ref, image))

	for _, from := range []string{base, ref.String()} {
		dir := folder(t, "files: {/more: DIR/data/b}\nuser: '1000:1000'\n")
		write(t, filepath.Join(dir, "rootfs.sh"), "exit 1") // is not run
		config, files := open(t, filepath.Join(buildIn(t, dir, "-base", from, "-platforms", "linux/amd64"), "example.tar"), amd64)
		if string(files.entries["data/a"].data) != "a" || string(files.entries["more"].data) != "b" {
			t.Errorf("from %s: %d files", from, len(files.entries))
		}
		if config.Config.User != "1000:1000" || len(config.Config.Entrypoint) != 0 || strings.Count(strings.Join(config.Config.Env, " "), "PATH=") != 1 {
			t.Errorf("from %s: %+v", from, config.Config)
		}
	}
}

func TestBaseThatIsNotThere(t *testing.T) {
	dir := folder(t, recipeText)
	for _, base := range []string{filepath.Join(dir, "absent"), "./absent", "absent.tar"} {
		err := run([]string{"-o", t.TempDir(), "-base", base, "-platforms", "linux/amd64", dir}, io.Discard)
		if want := "for linux/amd64: -base: open " + base + ": no such file or directory"; err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%v, want …%s", err, want)
		}
	}
}

func TestRootfs(t *testing.T) {
	dir := folder(t, "files: {/more: DIR/data/b}\n")
	script := filepath.Join(dir, "rootfs.sh")
	write(t, script, "#!/bin/sh -eu\ncd \"$(mktemp -d)\"\nmkdir -p var/lib/dpkg/status.d\n"+
		"printf 'Package: x\\nVersion: 1-%s\\nArchitecture: %s\\n' \"$1\" \"$1\" > var/lib/dpkg/status.d/x\nln var/lib/dpkg/status.d/x hard\ntar -c .\n")
	must(t, os.Chmod(script, 0o755))
	out := buildIn(t, dir)
	_, files := open(t, filepath.Join(out, "example.tar"), amd64)
	if !strings.Contains(string(files.entries["hard"].data), "1-amd64") || files.entries["more"].data == nil {
		t.Errorf("files: %v", files.entries)
	}
	if list := read(t, filepath.Join(out, "example.spdx.json")); !strings.Contains(list, "pkg:deb/debian/x@1-arm64?arch=arm64") {
		t.Errorf("no package in %s", list)
	}

	write(t, script, "#!/bin/sh\necho no packages here >&2\nexit 75\n")
	out = buildIn(t, dir)
	if _, err := os.Stat(filepath.Join(out, "example.tar")); !os.IsNotExist(err) {
		t.Errorf("an image that cannot be made: %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	err := run([]string{"-o", t.TempDir(), folder(t, recipeText+"maxMegabytes: 0.1\n")}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "more than maxMegabytes") {
		t.Errorf("got %v", err)
	}
}
