package main

import (
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func manifestFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "t.yaml")
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

const head = "apiVersion: tigerflow.dev/v1alpha1\nkind: Task\nmetadata: {name: t}\n"

func TestReadManifest(t *testing.T) {
	path := manifestFile(t, "# a comment\n---\n"+head+"spec: {workspace: {path: sub}}\n---\n---\n"+head+"spec: {workspace: {path: /abs}}\n---\n"+head)
	objects, err := readManifest(path)
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Dir(path)
	want := []string{filepath.Join(folder, "sub"), "/abs", folder}
	if len(objects) != len(want) {
		t.Fatalf("%d objects, want %d", len(objects), len(want))
	}
	for i, u := range objects {
		got, _, err := unstructured.NestedString(u.Object, "spec", "workspace", "path")
		if err != nil || got != want[i] {
			t.Errorf("document %d: workspace %q, want %q (%v)", i, got, want[i], err)
		}
		if u.GetNamespace() != "default" {
			t.Errorf("document %d: namespace %q", i, u.GetNamespace())
		}
	}
}

// What cannot be a path is left for the API server to refuse.
func TestReadManifestKeepsBadFields(t *testing.T) {
	for _, spec := range []string{"spec: text", "spec: {workspace: text}", "spec: {workspace: {path: 7}}", "spec: [1]"} {
		objects, err := readManifest(manifestFile(t, head+spec+"\n"))
		if err != nil || len(objects) != 1 {
			t.Errorf("%s: %v, %v", spec, objects, err)
		}
	}
}

func FuzzReadManifest(f *testing.F) {
	for _, seed := range []string{head, head + "---\n" + head, "a: [1,\n", "\t", "---\n---\n", "spec: {workspace: []}", "null", "- x", "\xff", head + "spec: null"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		objects, err := readManifest(manifestFile(t, text))
		if (err == nil) == (len(objects) == 0) {
			t.Fatalf("%d objects and the error %v", len(objects), err)
		}
		for _, u := range objects {
			if u.GetKind() != "Task" || u.GetName() == "" {
				t.Errorf("accepted %v", u.Object)
			}
			_ = forRun(u, idleTime{})
			drainGrace([]*unstructured.Unstructured{u})
		}
	})
}
