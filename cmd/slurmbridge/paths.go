package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/controllers/task"
	"tigerflow.dev/tigerflow/executor"
)

// tree is a folder of the shared file system that the pods of the cluster have in another place than this host and its
// compute nodes.
type tree struct {
	cluster, local string
	named          *regexp.Regexp // finds the local path, or one below it, in a text
}

// trees are all of these, the deepest in the cluster first.
type trees []tree

// readTrees reads --map-path.
func readTrees(values []string) (trees, error) {
	var all trees
	for _, value := range values {
		t := tree{}
		t.cluster, t.local, _ = strings.Cut(value, "=")
		for _, path := range []string{t.cluster, t.local} {
			if !filepath.IsAbs(path) || filepath.Clean(path) != path || path == "/" || strings.Contains(path, "=") {
				return nil, fmt.Errorf("--map-path %q: give CLUSTER_PATH=LOCAL_PATH, two absolute paths without . and .. and a slash at the end, such as /workspace=/scratch/me", value)
			}
		}
		if slices.ContainsFunc(all, func(other tree) bool { return other.cluster == t.cluster }) {
			return nil, fmt.Errorf("--map-path %q: %s is given twice: give it one place", value, t.cluster)
		}
		if !isFolder(t.local) {
			return nil, fmt.Errorf("--map-path %q: this host has no directory %s: give the one that the cluster's pods have as %s", value, t.local, t.cluster)
		}
		text := strings.ToValidUTF8(t.local, "�") // messages are
		t.named = regexp.MustCompile(`(^|[^\w.-])` + regexp.QuoteMeta(text) + `($|[^\w.-])`)
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b tree) int { return cmp.Compare(len(b.cluster), len(a.cluster)) })
	return all, nil
}

// here is where this host has what pods have at a path; all else is at the same path.
func (all trees) here(path string) string {
	for _, t := range all {
		if rest, ok := under(t.cluster, path); ok {
			return t.local + rest
		}
	}
	return path
}

// under is what is left of a path below a folder, with a slash in front, or nothing if it is the folder itself.
func under(dir, path string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(path, dir)
	return rest, ok && (rest == "" || rest[0] == '/')
}

// explain adds to a message that names folders of this host what they are to whoever wrote the Task.
func (all trees) explain(message string) string {
	parts := []string{message}
	for _, t := range all {
		if t.named.MatchString(message) {
			parts = append(parts, fmt.Sprintf("(this bridge has %s at %s)", t.cluster, t.local))
		}
	}
	return strings.Join(parts, " ")
}

// bind has a container see the trees at the places that they have in the cluster, too: for what of a Task no one can tell to be a
// path. Left out is what would be in the way of the worker's own folders, and what there is no folder for in another tree.
func (all trees) bind(s executor.Spec) executor.Spec {
	if s.Container.Image == "" {
		return s
	}
	s.Container.Binds = slices.Clone(s.Container.Binds)
	own := []string{s.Spool}
	for _, b := range s.Container.Binds {
		own = append(own, b.Path)
	}
	var bound trees
	for _, t := range slices.Backward(all) { // outer ones first
		place := bound.here(t.cluster)
		if !isFolder(t.local) || place != t.cluster && !isFolder(place) || slices.ContainsFunc(own, t.overlaps) {
			continue
		}
		bound = slices.Insert(bound, 0, t)
		s.Container.Binds = append(s.Container.Binds, executor.Bind{Path: t.local, At: t.cluster})
	}
	return s
}

// overlaps reports whether a folder lies in the tree as the cluster has it, or this in the folder.
func (t tree) overlaps(path string) bool {
	_, below := under(t.cluster, path)
	_, above := under(path, t.cluster)
	return below || above
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// localClient reads Slurm Tasks with their paths as this host has them. Nothing of a Task that was read is ever written: the
// status and the finalizer are applied by themselves.
type localClient struct {
	client.Client
	trees trees
}

func (c localClient) localize(t *v1alpha1.Task) {
	if len(c.trees) > 0 && t.Spec.Type == v1alpha1.TaskSlurm {
		task.MapPaths(&t.Spec, c.trees.here)
	}
}

func (c localClient) Get(ctx context.Context, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
	err := c.Client.Get(ctx, key, into, opts...)
	if t, ok := into.(*v1alpha1.Task); ok && err == nil {
		c.localize(t)
	}
	return err
}

func (c localClient) List(ctx context.Context, into client.ObjectList, opts ...client.ListOption) error {
	err := c.Client.List(ctx, into, opts...)
	if list, ok := into.(*v1alpha1.TaskList); ok && err == nil {
		for i := range list.Items {
			c.localize(&list.Items[i])
		}
	}
	return err
}
