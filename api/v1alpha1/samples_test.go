package v1alpha1_test

import (
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestSamplesAreAdmitted(t *testing.T) {
	const folder = "../../config/samples"
	a := mustAdmission(t)
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples in %s (%v)", folder, err)
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
			task := strictTask(t, data) // before defaulting prunes what is unknown
			if _, err := task.Spec.DecodeParams(); err != nil {
				t.Error(err)
			}
			obj := decode(t, string(manifest))
			if errs := a.admit(obj, nil); len(errs) > 0 {
				t.Fatal(errs.ToAggregate())
			}
			roundTrip(t, a, obj)

			module := ""
			if task.Spec.Handler.Python != nil {
				module = task.Spec.Handler.Python.Module
			}
			if _, err := os.Stat(filepath.Join(folder, module)); err != nil {
				t.Errorf("the sample needs a module that is not there: %v", err)
			}
		})
	}
}
