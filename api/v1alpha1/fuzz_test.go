package v1alpha1_test

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// One value that the schema admits and the Go types do not decode would stop every informer of the kind. These tests make
// values from the schema itself, so that a field added later is covered without a word here.

func TestWhatTheSchemaAdmitsDecodes(t *testing.T) {
	eachKind(t, testWhatTheSchemaAdmitsDecodes)
}

func testWhatTheSchemaAdmitsDecodes(t *testing.T, a *admission) {
	const tries = 2000
	admitted, seen := 0, map[string]bool{}
	for seed := range uint64(tries) {
		if obj, ok := tryGenerated(t, a, seed, 0.004); ok {
			admitted++
			markSeen(seen, "spec", obj["spec"])
			markSeen(seen, "status", obj["status"])
		}
	}
	t.Logf("%d of %d generated objects were admitted", admitted, tries)
	if admitted < tries/20 {
		t.Errorf("only %d of %d generated objects were admitted: the generator misses the rules", admitted, tries)
	}
	a.walk(func(path string, _ *schema.Structural) {
		elsewhere := strings.HasPrefix(path, "spec.pipeline.lead.staging[].") // those of Pipelines, which are seen there
		if !seen[path] && !elsewhere && !strings.HasSuffix(path, "[*]") {
			t.Errorf("no admitted %s has %s", a.kind, path)
		}
	})
}

func FuzzGenerated(f *testing.F) {
	task, pipeline := mustAdmission(f, "Task"), mustAdmission(f, "Pipeline")
	f.Add(uint64(1), 0.0)
	f.Add(uint64(2), 0.2)
	f.Fuzz(func(t *testing.T, seed uint64, wild float64) {
		tryGenerated(t, task, seed, wild)
		tryGenerated(t, pipeline, seed, wild)
	})
}

func FuzzDocument(f *testing.F) {
	task, pipeline := mustAdmission(f, "Task"), mustAdmission(f, "Pipeline")
	f.Add([]byte(`{"spec":{"tasks":[{"name":"a","type":"Local","handler":{"builtin":"echo"},"output":{"extension":".a"}}],"staging":[{"minSize":1}]}}`))
	f.Add([]byte(`{"spec":{"timeout":"8759h59m59.999s","resources":{"memory":"1024Ti"}}}`))
	f.Add([]byte(`{"spec":{"completeAfterIdle":"0ms","params":{"a":[1,1e400,null],"b":{}}},"status":{"files":null}}`))
	f.Fuzz(func(t *testing.T, patch []byte) {
		var changes map[string]any
		if err := utiljson.Unmarshal(patch, &changes); err != nil {
			return
		}
		for _, a := range []*admission{task, pipeline} {
			obj := decode(t, kinds[a.kind])
			merge(obj, changes)
			if len(a.admit(obj, nil)) == 0 {
				roundTrip(t, a, obj)
			}
		}
	})
}

// tryGenerated makes the object of a seed and checks it if it is admitted, which it tells.
func tryGenerated(t *testing.T, a *admission, seed uint64, wild float64) (map[string]any, bool) {
	t.Helper()
	g := &generator{rand: rand.New(rand.NewPCG(seed, 0)), wild: wild}
	obj := decode(t, kinds[a.kind])
	for _, part := range []string{"spec", "status"} {
		s := a.structural.Properties[part]
		obj[part] = g.value(&s)
	}
	keepUnions(g, obj["spec"])
	// Stored objects went through JSON.
	data, err := json.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	obj = nil
	if err := utiljson.Unmarshal(data, &obj); err != nil {
		t.Fatal(err)
	}
	if errs := a.admit(obj, nil); len(errs) > 0 {
		return nil, false
	}
	roundTrip(t, a, obj)
	return obj, true
}

// keepUnions removes members so that most of what is generated passes the rules on unions.
func keepUnions(g *generator, value any) {
	spec, _ := value.(map[string]any)
	steps, ok := spec["staging"].([]any)
	if !ok {
		steps, ok = asMap(asMap(spec["pipeline"])["lead"])["staging"].([]any)
	}
	if ok {
		for _, step := range steps {
			keepOne(g, step, maps.Keys(asMap(step)))
		}
	}
	tasks, isPipeline := spec["tasks"].([]any)
	if !isPipeline {
		keepMembers(g, spec)
	}
	for i, task := range tasks {
		if task, ok := task.(map[string]any); ok {
			keepMembers(g, task)
			task["name"] = fmt.Sprintf("%v%d", task["name"], i)
		}
	}
}

// keepMembers does it to the spec of a Task or a task of a Pipeline.
func keepMembers(g *generator, spec map[string]any) {
	for member, kind := range map[string]string{"localAsync": "LocalAsync", "slurm": "Slurm"} {
		if spec["type"] != kind {
			delete(spec, member)
		} else if _, ok := spec[member]; !ok {
			spec["type"] = "Local"
		}
	}
	if spec["type"] == "Local" {
		delete(spec, "scaling")
		delete(spec, "processes")
	}
	if output := asMap(spec["output"]); output["recursive"] == true {
		output["recursive"] = false
	}
	keepOne(g, spec["handler"], slices.Values([]string{"python", "builtin", "program", "command"}))
	keepContainer(g, spec)
}

// keepContainer does it to what only some Tasks may have of a container.
func keepContainer(g *generator, spec map[string]any) {
	container := asMap(spec["container"])
	keepOperators(spec["pod"])
	if spec["type"] == "Slurm" {
		delete(spec, "pod")
		delete(container, "mounts")
		delete(container, "workerPath")
	}
	if _, builtin := asMap(spec["handler"])["builtin"]; builtin || container["image"] == nil {
		delete(container, "entrypoint")
	}
	mounts, _ := container["mounts"].([]any)
	for i, mount := range mounts {
		mount, ok := mount.(map[string]any)
		if !ok {
			continue
		}
		kept := map[string]any{"path": mount["path"]}
		delete(mount, "path")
		if readOnly, ok := mount["readOnly"]; ok && readOnly == true {
			kept["readOnly"] = readOnly
		}
		delete(mount, "readOnly")
		keepOne(g, mount, maps.Keys(mount))
		maps.Copy(kept, mount)
		mounts[i] = kept
	}
}

// keepOperators leaves only what goes with the operators of requirements and tolerations.
func keepOperators(value any) {
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			keepOperators(item)
		}
	case map[string]any:
		switch value["operator"] {
		case "Exists", "DoesNotExist":
			delete(value, "values")
			delete(value, "value")
		case "In", "NotIn", "Gt", "Lt":
			if _, ok := value["values"]; !ok {
				value["values"] = []any{""}
			}
		}
		if value["tolerationSeconds"] != nil {
			value["effect"] = "NoExecute"
		}
		if _, ok := value["key"]; !ok && value["effect"] != nil {
			value["operator"] = "Exists"
			delete(value, "value")
		}
		if selector, ok := value["labelSelector"].(map[string]any); ok && len(selector) == 0 {
			selector["matchLabels"] = map[string]any{"": ""}
		}
		for _, member := range value {
			keepOperators(member)
		}
	}
}

// keepOne leaves one of the members.
func keepOne(g *generator, value any, members iter.Seq[string]) {
	union, names := asMap(value), slices.Sorted(members)
	g.rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, member := range names {
		if len(union) > 1 {
			delete(union, member)
		}
	}
}

func asMap(value any) map[string]any {
	m, _ := value.(map[string]any)
	return m
}

func markSeen(seen map[string]bool, path string, value any) {
	seen[path] = true
	switch value := value.(type) {
	case map[string]any:
		for name, member := range value {
			markSeen(seen, path+"."+name, member)
		}
	case []any:
		for _, item := range value {
			markSeen(seen, path+"[]", item)
		}
	}
}
