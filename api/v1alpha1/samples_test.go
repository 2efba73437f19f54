package v1alpha1_test

import (
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

const samples = "../../config/samples"

func TestSamplesAreAdmitted(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(samples, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples in %s (%v)", samples, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			manifest, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			data, err := yaml.YAMLToJSONStrict(manifest)
			if err != nil {
				t.Fatal(err)
			}
			obj := decode(t, string(manifest))
			kind, _ := obj["kind"].(string)
			a := mustAdmission(t, kind)
			checkSample(t, a.strict(t, data)) // before defaulting prunes what is unknown
			if errs := a.admit(obj, nil); len(errs) > 0 {
				t.Fatal(errs.ToAggregate())
			}
			roundTrip(t, a, obj)
		})
	}
}

func checkSample(t *testing.T, object runtime.Object) {
	t.Helper()
	var templates []v1alpha1.TaskTemplate
	switch object := object.(type) {
	case *v1alpha1.Task:
		templates = append(templates, object.Spec.TaskTemplate)
	case *v1alpha1.Pipeline:
		for _, task := range object.Spec.Tasks {
			templates = append(templates, task.TaskTemplate)
		}
	}
	for _, template := range templates {
		if _, err := template.DecodeParams(); err != nil {
			t.Error(err)
		}
		if p := template.Handler.Python; p != nil {
			if _, err := os.Stat(filepath.Join(samples, p.Module)); err != nil {
				t.Errorf("the sample needs a module that is not there: %v", err)
			}
		}
	}
}
