package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/internal/cli"
)

// The kinds that can be run.
const (
	kindTask     = "Task"
	kindPipeline = "Pipeline"
)

// taskSpecs gives what a Task, or each task of a Pipeline, says of how it runs, by the path of that.
func taskSpecs(u *unstructured.Unstructured) map[string]map[string]any {
	specs := map[string]map[string]any{}
	if u.GetKind() == kindTask {
		specs["spec"], _, _ = unstructured.NestedMap(u.Object, "spec")
		return specs
	}
	tasks, _, _ := unstructured.NestedSlice(u.Object, "spec", "tasks")
	for i, task := range tasks {
		specs[fmt.Sprintf("spec.tasks[%d]", i)], _ = task.(map[string]any)
	}
	return specs
}

// toUnstructured makes what the command line works on of an object.
func toUnstructured(p *v1alpha1.Pipeline) (*unstructured.Unstructured, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{}
	if err := json.Unmarshal(text, &u.Object); err != nil {
		return nil, err
	}
	unstructured.RemoveNestedField(u.Object, "status")
	return u, nil
}

// readManifest reads the objects of a YAML file. A relative workspace is one relative to the file.
func readManifest(path string) ([]*unstructured.Unstructured, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, cli.UsageError{Err: err}
	}
	docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	var objects []*unstructured.Unstructured
	for n := 1; ; n++ {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, cli.UsageError{Err: fmt.Errorf("%s: %w", path, err)}
		}
		u, err := parse(doc)
		if err == nil && u != nil {
			err = complete(u, path)
		}
		if err != nil {
			return nil, cli.UsageError{Err: fmt.Errorf("%s: document %d: %w", path, n, err)}
		}
		if u != nil {
			objects = append(objects, u)
		}
	}
	if len(objects) == 0 {
		return nil, cli.UsageError{Err: fmt.Errorf("%s: no Task or Pipeline in it", path)}
	}
	return objects, nil
}

// parse reads one document; one with nothing in it is nil.
func parse(doc []byte) (*unstructured.Unstructured, error) {
	var content any
	if err := yaml.UnmarshalStrict(doc, &content); err != nil {
		return nil, errors.New(yamlFault(err.Error(), doc))
	}
	switch content := content.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		return &unstructured.Unstructured{Object: content}, nil
	}
	return nil, errors.New("no fields in it: a Task begins with apiVersion, kind, metadata and spec")
}

// yamlFault leaves out of the parser's words how it goes about its work.
func yamlFault(text string, doc []byte) string {
	for _, noise := range []string{"error converting YAML to JSON: ", "yaml: ", "unmarshal errors:\n  "} {
		text = strings.Replace(text, noise, "", 1)
	}
	if bytes.Contains(doc, []byte("\n\t")) {
		text += ": indent with spaces, not with tabs"
	}
	return text
}

// complete fills in what only the command line leaves out.
func complete(u *unstructured.Unstructured, path string) error {
	if u.GetAPIVersion() != v1alpha1.GroupVersion.String() || u.GetKind() != kindTask && u.GetKind() != kindPipeline {
		return fmt.Errorf("apiVersion %q, kind %q: only kinds Task and Pipeline of apiVersion %s can be run", u.GetAPIVersion(), u.GetKind(), v1alpha1.GroupVersion)
	}
	if u.GetName() == "" {
		return errors.New("metadata.name is missing")
	}
	if u.GetNamespace() == "" {
		u.SetNamespace(metav1.NamespaceDefault)
	}
	workspace, found, err := unstructured.NestedString(u.Object, "spec", "workspace", "path")
	if err != nil || found && filepath.IsAbs(workspace) {
		return nil //nolint:nilerr // the server says what is wrong
	}
	folder, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return err
	}
	return unstructured.SetNestedField(u.Object, filepath.Join(folder, workspace), "spec", "workspace", "path")
}

// create has the control plane take an object. What the schema refuses is the user's mistake.
func create(ctx context.Context, c client.Client, u *unstructured.Unstructured, path string) error {
	u = u.DeepCopy()
	text, err := json.Marshal(u.Object)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	annotate(u, corev1.LastAppliedConfigAnnotation, string(text)) // for kubectl apply to go on from
	err = c.Create(ctx, u, client.FieldOwner("tigerflow-cli"), client.FieldValidation(metav1.FieldValidationStrict))
	switch {
	case apierrors.IsAlreadyExists(err):
		return cli.UsageError{Err: fmt.Errorf("%s: a second %s %s: give each its own metadata.name", path, u.GetKind(), u.GetName())}
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return cli.UsageError{Err: fmt.Errorf("%s: %s %s: %s", path, u.GetKind(), u.GetName(), refusal(err))}
	}
	return err
}

// refusal says in one line what the API server finds wrong with an object: each field and its mistake.
func refusal(err error) string {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || status.Status().Details == nil || len(status.Status().Details.Causes) == 0 {
		_, text, strict := strings.Cut(err.Error(), "strict decoding error: ")
		if !strict {
			return err.Error()
		}
		return text
	}
	var faults []string
	for _, cause := range status.Status().Details.Causes {
		if cause.Field == "" || cause.Field == "<nil>" { // of no field: that rules were left out for the other faults
			continue
		}
		faults = append(faults, cause.Field+": "+strings.TrimPrefix(cause.Message, "Invalid value: "))
	}
	return strings.Join(faults, "; ")
}

func annotate(u *unstructured.Unstructured, name, value string) {
	all := u.GetAnnotations()
	if all == nil {
		all = map[string]string{}
	}
	all[name] = value
	u.SetAnnotations(all)
}
