package v1alpha1_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/pipeline"
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

// What the pages show, people copy.
func TestManifestsOfThePagesAreAdmitted(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range yamlBlock.FindAllStringSubmatch(string(text), -1) {
			for manifest := range strings.SplitSeq(block[1], "\n---\n") {
				if !strings.Contains(manifest, "apiVersion: tigerflow.dev/") {
					continue
				}
				found++
				// The command line makes it an absolute one.
				manifest = strings.Replace(manifest, "workspace: {path: .}", "workspace: {path: /data}", 1)
				t.Run(filepath.Base(page), func(t *testing.T) { checkManifest(t, manifest) })
			}
		}
	}
	if found < 5 {
		t.Errorf("only %d manifests were found", found)
	}
}

var yamlBlock = regexp.MustCompile("(?s)\n```yaml\n(.*?)```")

func checkManifest(t *testing.T, manifest string) {
	t.Helper()
	data, err := yaml.YAMLToJSONStrict([]byte(manifest))
	if err != nil {
		t.Fatalf("%v:\n%s", err, manifest)
	}
	obj := decode(t, manifest)
	kind, _ := obj["kind"].(string)
	a := mustAdmission(t, kind)
	a.strict(t, data)
	if errs := a.admit(obj, nil); len(errs) > 0 {
		t.Errorf("%v:\n%s", errs.ToAggregate(), manifest)
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

// What is made of configurations of TigerFlow, and the Tasks that are made of that, an API server takes as they are.
func TestPlansAreAdmitted(t *testing.T) {
	files, err := filepath.Glob("../../pipeline/config/testdata/*.golden")
	if err != nil || len(files) == 0 {
		t.Fatalf("no Pipelines (%v)", err)
	}
	pipelines, tasks := mustAdmission(t, "Pipeline"), mustAdmission(t, "Task")
	for _, file := range append(files, filepath.Join(samples, "pipeline.yaml")) {
		manifest, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		data, err := yaml.YAMLToJSONStrict(manifest)
		if err != nil {
			t.Fatal(err)
		}
		p := pipelines.strict(t, data).(*v1alpha1.Pipeline)
		if errs := pipelines.admit(decode(t, string(manifest)), nil); len(errs) > 0 {
			t.Errorf("%s: %v", file, errs.ToAggregate())
		}
		g, err := pipeline.New(&p.Spec)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, task := range g.Tasks(p) {
			text, err := yaml.Marshal(task)
			if err != nil {
				t.Fatal(err)
			}
			if errs := tasks.admit(decode(t, string(text)), nil); len(errs) > 0 {
				t.Errorf("%s: %s: %v", file, task.Name, errs.ToAggregate())
			}
		}
	}
}
