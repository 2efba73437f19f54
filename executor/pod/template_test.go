package pod

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/executor"
)

var update = flag.Bool("update", false, "write the golden files")

// full asks for all that a Pod can be asked for.
const full = `
container:
  image: example.org/me/whisper:1
  mounts:
  - {path: /models, persistentVolumeClaim: {claimName: models, subPath: medium}, readOnly: true}
  - {path: /cache, persistentVolumeClaim: {claimName: cache}}
  - {path: /etc/vocabulary, configMap: {name: vocabulary}}
  - {path: /etc/token, secret: {name: token}}
pod:
  nodeSelector: {gpu: a100}
  tolerations:
  - {key: gpu, operator: Exists, effect: NoSchedule}
  - {operator: Exists, effect: NoExecute, tolerationSeconds: 60}
  priorityClassName: low
  runtimeClassName: nvidia
  imagePullSecrets: [{name: registry}]
  labels: {team: astro}
  annotations: {sidecar.istio.io/inject: "false"}
  affinity:
    nodeAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        nodeSelectorTerms:
        - matchExpressions: [{key: zone, operator: In, values: [a, b]}]
        - matchExpressions: [{key: fast, operator: Exists}]
      preferredDuringSchedulingIgnoredDuringExecution:
      - {weight: 5, preference: {matchExpressions: [{key: ssd, operator: DoesNotExist}]}}
    podAffinity:
      preferredDuringSchedulingIgnoredDuringExecution:
      - {weight: 7, podAffinityTerm: {topologyKey: zone, labelSelector: {matchLabels: {app: cache}}}}
    podAntiAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
      - {topologyKey: kubernetes.io/hostname, labelSelector: {matchExpressions: [{key: app, operator: NotIn, values: [x]}]}}
`

func TestTemplate(t *testing.T) {
	c := Config{
		Select: labels.Set{v1alpha1.LabelPipeline: "books"}, As: Identity{UID: 1001, GID: 2002, Groups: []int64{3003, 3004}},
		Images: Images{Worker: "tigerflow.dev/worker:1", Python: "tigerflow.dev/python:1", Pull: "IfNotPresent"},
	}
	least, all, brings := demo(), demo(), demo()
	if err := yaml.UnmarshalStrict([]byte(full), &all.Spec.TaskTemplate); err != nil {
		t.Fatal(err)
	}
	brings.Spec.Container = &v1alpha1.Container{Image: "example.org/me/x", WorkerPath: "/usr/bin/tigerflow-worker"}
	for name, tt := range map[string]struct {
		task *v1alpha1.Task
		node string
		edit func(*executor.Spec)
	}{
		"least": {task: least, edit: func(s *executor.Spec) { s.DrainTimeout = 0 }},
		"full": {task: all, node: "node7", edit: func(s *executor.Spec) {
			s.Container.Image = all.Spec.Container.Image
			s.Resources = executor.Resources{CPUs: 4, Memory: 12 << 30, GPUs: 1}
			s.Args = []string{"--idle-timeout", "2m0s", "$(HOME) $x"}
			s.Avoid = []string{"node3", "node4"}
		}},
		"brings its worker": {task: brings, edit: func(s *executor.Spec) { s.Container.Image = brings.Spec.Container.Image }},
	} {
		s := specOf(0)
		tt.edit(&s)
		c.Node = tt.node
		got, err := yaml.Marshal(c.pod(tt.task, s))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", strings.ReplaceAll(name, " ", "-")+".yaml")
		if *update {
			if err := os.WriteFile(path, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || string(want) != string(got) {
			t.Errorf("%s (%v): the Pod is\n%s", name, err, got)
		}
	}
	if len(all.Spec.Pod.Labels) != 1 || len(all.Spec.Pod.Affinity.NodeAffinity.Preferred) != 1 {
		t.Errorf("the Task itself was changed: %+v", all.Spec.Pod)
	}
}

// Everything that the API allows of affinity is known to Pods by the same name.
func TestAffinity(t *testing.T) {
	task := demo()
	if err := yaml.UnmarshalStrict([]byte(full), &task.Spec.TaskTemplate); err != nil {
		t.Fatal(err)
	}
	ours, err := json.Marshal(task.Spec.Pod.Affinity)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := json.Marshal(affinity(task.Spec.Pod.Affinity))
	if err != nil {
		t.Fatal(err)
	}
	if string(ours) != string(theirs) {
		t.Errorf("asked for %s\nbecomes %s", ours, theirs)
	}
}

func TestName(t *testing.T) {
	id := executor.WorkerID{Key: strings.Repeat("k", 40), Index: 999999, Restart: 999999}
	for of, want := range map[string]string{
		"words":                  "words-k3f9-0-r1",
		"a.b-c":                  "a-b-c-k3f9-0-r1",
		strings.Repeat("x", 63):  strings.Repeat("x", 53) + "-k3f9-0-r1",
		strings.Repeat("x-", 31): strings.Repeat("x-", 26) + "x-k3f9-0-r1",
	} {
		task := demo()
		task.Name = of
		if got := name(task, executor.WorkerID{Key: "k3f9", Restart: 1}); got != want {
			t.Errorf("of %s it is %s, want %s", of, got, want)
		}
		if got := name(task, id); len(got) > 63 || !strings.HasSuffix(got, "-"+id.Key+"-999999-r999999") {
			t.Errorf("of %s and the longest id it is %s", of, got)
		}
	}
}
