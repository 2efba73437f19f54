package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

// readManifest reads the objects of a YAML file. A relative workspace is one relative to the file.
func readManifest(path string) ([]*unstructured.Unstructured, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, usageError{err}
	}
	docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	var objects []*unstructured.Unstructured
	for n := 1; ; n++ {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, usageError{fmt.Errorf("%s: %w", path, err)}
		}
		u := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict(doc, &u.Object); err != nil {
			return nil, usageError{fmt.Errorf("%s: document %d: %w", path, n, err)}
		}
		if len(u.Object) == 0 {
			continue
		}
		if err := complete(u, path); err != nil {
			return nil, usageError{fmt.Errorf("%s: document %d: %w", path, n, err)}
		}
		objects = append(objects, u)
	}
	if len(objects) == 0 {
		return nil, usageError{fmt.Errorf("%s: no Task in it", path)}
	}
	return objects, nil
}

// complete fills in what only the command line leaves out.
func complete(u *unstructured.Unstructured, path string) error {
	if u.GetAPIVersion() != v1alpha1.GroupVersion.String() || u.GetKind() != "Task" {
		return fmt.Errorf("apiVersion %q, kind %q: only kind Task of apiVersion %s can be run", u.GetAPIVersion(), u.GetKind(), v1alpha1.GroupVersion)
	}
	if u.GetName() == "" {
		return errors.New("metadata.name is missing")
	}
	if u.GetNamespace() == "" {
		u.SetNamespace(metav1.NamespaceDefault)
	}
	workspace, found, err := unstructured.NestedString(u.Object, "spec", "workspace", "path")
	if err != nil || found && filepath.IsAbs(workspace) {
		return nil // the server says what is wrong
	}
	folder, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return err
	}
	return unstructured.SetNestedField(u.Object, filepath.Join(folder, workspace), "spec", "workspace", "path")
}

// apply has the control plane take an object. What the schema refuses is the user's mistake.
func apply(ctx context.Context, c client.Client, u *unstructured.Unstructured, path string) error {
	err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner("tigerflow-cli"), client.ForceOwnership)
	if apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) {
		return usageError{fmt.Errorf("%s: %w", path, err)}
	}
	return err
}
