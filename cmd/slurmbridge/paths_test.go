package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/spool"
)

// places is trees over folders that there are, by what the cluster calls them.
func places(t *testing.T, folders ...string) trees {
	t.Helper()
	var values []string
	for i := 0; i < len(folders); i += 2 {
		if err := os.MkdirAll(folders[i+1], 0o777); err != nil {
			t.Fatal(err)
		}
		values = append(values, folders[i]+"="+folders[i+1])
	}
	all, err := readTrees(values)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestTreesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	const form = "give CLUSTER_PATH=LOCAL_PATH, two absolute paths"
	for value, want := range map[string]string{
		"":                            form,
		"/w":                          form,
		"/w=":                         form,
		"=" + dir:                     form,
		"w=" + dir:                    form,
		"/w=scratch":                  form,
		"/w/=" + dir:                  form,
		"/w=" + dir + "/":             form,
		"/w/../x=" + dir:              form,
		"/=" + dir:                    form,
		"/w=/":                        form,
		"/w=" + dir + "=x":            form,
		"/w=" + dir + "/none":         "this host has no directory " + dir + "/none: give the one that the cluster's pods have as /w",
		"/w=" + dir + ", /w=" + dir:   "/w is given twice: give it one place",
		"/w=" + dir + ", /w/x=" + dir: "",
	} {
		_, err := readTrees(strings.Split(value, ", "))
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), "--map-path ") || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", value, err, want)
		}
	}
}

func TestHere(t *testing.T) {
	dir := t.TempDir()
	all := places(t, "/w", dir+"/me", "/w/models", dir+"/models", dir, dir+"/deep")
	for path, want := range map[string]string{
		"/w": "/me", "/w/a/b": "/me/a/b", "/w/models": "/models", "/w/models/m.pt": "/models/m.pt", "/w/models2": "/me/models2",
		dir + "/x": "/deep/x", dir + "/me": "/deep/me", // once only
	} {
		if got := all.here(path); got != dir+want {
			t.Errorf("%s is at %s, want %s", path, got, dir+want)
		}
	}
	for _, path := range []string{"/", "/wide", "/x/w", "/usr/bin/python3", dir + "x"} {
		if got := all.here(path); got != path {
			t.Errorf("%s is at %s", path, got)
		}
	}
}

// Whatever is taken for trees is well formed, and no path leads out of them or is changed in part.
func FuzzTrees(f *testing.F) {
	dir := f.TempDir()
	f.Add("/w", "/w/x")
	f.Add("/w/models", "/w/models2/x")
	f.Add("/it's a\n\"$(tree)\"", "/it's a\n\"$(tree)\"/`x`")
	f.Fuzz(func(t *testing.T, cluster, path string) {
		all, err := readTrees([]string{cluster + "=" + dir})
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q is no line", err)
			}
			return
		}
		if !filepath.IsAbs(cluster) || filepath.Clean(cluster) != cluster || cluster == "/" {
			t.Fatalf("%q was taken", cluster)
		}
		if !filepath.IsAbs(path) || strings.Contains(path, "\x00") {
			return
		}
		path = filepath.Clean(path)
		rel, err := filepath.Rel(cluster, path)
		want := path
		if err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
			want = filepath.Join(dir, rel)
		}
		if got := all.here(path); got != want {
			t.Errorf("with %q the path %q is at %q, want %q", cluster, path, got, want)
		}
	})
}

func TestExplain(t *testing.T) {
	dir := t.TempDir()
	all := places(t, "/w", dir+"/me", "/m", dir+"/models", "/l", dir+"/caf\xe9")
	known := " (this bridge has /w at " + dir + "/me)"
	for message, more := range map[string]string{
		"nothing wrong": "",
		"the input directory " + dir + "/me/in does not exist": known,
		"open " + dir + "/me: no such file":                    known,
		`it is "` + dir + `/me"`:                               known,
		dir + "/menu, /x" + dir + "/me and " + dir + "/me.old": "",
		dir + "/menu or " + dir + "/me/x":                      known,
		dir + "/me and " + dir + "/models/x":                   known + " (this bridge has /m at " + dir + "/models)",
	} {
		if got := all.explain(message); got != message+more {
			t.Errorf("%q becomes\n%q, want\n%q", message, got, message+more)
		}
	}
}

func TestBindsOfTrees(t *testing.T) {
	dir := t.TempDir()
	for name, tt := range map[string]struct {
		trees trees
		binds []string // of the worker, by Binds
		want  string
	}{
		"one":                       {places(t, "/w", dir+"/me"), []string{dir + "/me/proj"}, dir + "/me at /w"},
		"within itself":             {places(t, dir, dir+"/me"), []string{dir + "/me/proj"}, ""},
		"around itself":             {places(t, dir+"/me/old", dir+"/me"), []string{dir + "/me"}, ""},
		"beside itself":             {places(t, dir+"/me/old", dir+"/me"), []string{dir + "/me/proj"}, dir + "/me at " + dir + "/me/old"},
		"swapped":                   {places(t, dir+"/a", dir+"/b", dir+"/b", dir+"/a"), []string{dir + "/a/x"}, dir + "/a at " + dir + "/b"},
		"one in another":            {places(t, "/w", dir+"/me", "/w/models", dir+"/models", dir+"/x", dir+"/me/models"), nil, dir + "/me at /w; " + dir + "/models at /w/models; " + dir + "/me/models at " + dir + "/x"},
		"one without a place there": {places(t, "/w", dir+"/me", "/w/absent", dir+"/models"), nil, dir + "/me at /w"},
		"a link":                    {places(t, "/w", dir+"/me"), []string{"/w"}, ""},
	} {
		s := executor.Spec{Spool: dir + "/spool", Container: executor.Container{Image: "/x.sif"}}
		for _, path := range tt.binds {
			s.Container.Binds = append(s.Container.Binds, executor.Bind{Path: path})
		}
		var got []string
		for _, b := range tt.trees.bind(s).Container.Binds[len(tt.binds):] {
			got = append(got, b.Path+" at "+b.At)
		}
		if strings.Join(got, "; ") != tt.want {
			t.Errorf("%s: %q, want %q", name, strings.Join(got, "; "), tt.want)
		}
		s.Container.Image = ""
		if more := tt.trees.bind(s).Container.Binds; len(more) != len(tt.binds) {
			t.Errorf("%s: without a container there are %v", name, more)
		}
	}
}

// A Task that was written for the pods of the cluster runs where the tree is elsewhere, and stays as it was written.
func TestBridgeSeesTheTreeElsewhere(t *testing.T) {
	s := newSite(t)
	s.put("a.txt")
	s.must(os.WriteFile(s.path("env"), []byte("X=1\n"), 0o600))
	s.createNamed("t", `{workspace: {path: /workspace/me}, input: {directory: /workspace/me/in, extension: .txt}, output: {directory: out, extension: .txt}, container: {envFile: /workspace/me/env},
		handler: {builtin: null, command: [/workspace/me/upper, "{input}", "{output}"]}}`)
	s.must(os.WriteFile(s.path("upper"), []byte("#!/bin/sh\ntr a-z A-Z <\"$1\" >\"$2\"; printf $X >>\"$2\"\n"), 0o700))
	written := s.task().Spec
	s.begin(func(b *settings) {
		b.trees = places(t, "/workspace/me", s.dir)
		b.limits = &limits{Roots: []string{s.dir}}
	})
	s.done(1)
	if got, err := os.ReadFile(s.path("out", "a.txt")); string(got) != "A.TXT1" {
		t.Errorf("the output is %q, %v", got, err)
	}
	if got, err := spool.Open(spool.Dir(s.path("out"), "t")); err != nil || string(got.Spec().WorkDir) != s.dir {
		t.Errorf("workers are told of %v, %v", got, err)
	}
	s.must(os.RemoveAll(s.path("in")))
	s.must(s.stop())
	s.must(s.client.Patch(t.Context(), s.task(), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"scaling":{"maxWorkers":2}}}`))))
	s.begin(func(b *settings) { b.trees = places(t, "/workspace/me", s.dir) })
	want := "the input directory " + s.path("in") + " does not exist: create it, or correct workspace.path and input.directory (this bridge has /workspace/me at " + s.dir + ")"
	wait(t, want, func() bool {
		return slices.ContainsFunc(s.task().Status.Conditions, func(c metav1.Condition) bool { return c.Type == v1alpha1.ConditionStalled && c.Message == want })
	})
	task := s.task()
	task.Spec.Scaling.MaxWorkers = written.Scaling.MaxWorkers
	if !apiequality.Semantic.DeepEqual(task.Spec, written) {
		t.Errorf("the spec has become\n%+v, and was\n%+v", task.Spec, written)
	}
	s.must(s.client.Delete(t.Context(), task))
	wait(t, "the end of the Task", s.vanished)
}
