package dispatcher

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

func TestPodNames(t *testing.T) {
	for owner, want := range map[Owner]string{
		{"Task", "n", "words"}:                  "tigerflow-task-words",
		{"Pipeline", "n", "words"}:              "tigerflow-pipeline-words",
		{"Task", "n", "a.b"}:                    "tigerflow-task-a-b--9f6e4ee2",
		{"Task", "n", "a--b"}:                   "tigerflow-task-a--b--4d5f4dcb",
		{"Task", "n", strings.Repeat("x", 253)}: "tigerflow-task-" + strings.Repeat("x", 38) + "--25c7d5e7",
		{"", "n", "of-nobody"}:                  "of-nobody",
	} {
		got := owner.PodName()
		if len(got) != len(want) || !strings.HasPrefix(got, want[:len(want)-8]) {
			t.Errorf("%v has the Pod %s, want one like %s", owner, got, want)
		}
		if errs := validation.IsDNS1123Label(got); len(errs) > 0 {
			t.Errorf("%s: %v", got, errs)
		}
	}
	if a, b := (Owner{"Task", "n", "a.b"}), (Owner{"Task", "n", "a-b"}); a.PodName() == b.PodName() {
		t.Errorf("two owners have the Pod %s", a.PodName())
	}
}

func TestIdentity(t *testing.T) {
	usual := Identity{UID: 65532, GID: 65532, Groups: []int64{7}}
	for name, tt := range map[string]struct {
		annotations map[string]string
		want        Identity
		fault       string
	}{
		"none":              {nil, usual, ""},
		"all":               {map[string]string{"tigerflow.dev/uid": "2001", "tigerflow.dev/gid": "100", "tigerflow.dev/groups": "30, 20,30"}, Identity{2001, 100, []int64{20, 30}}, ""},
		"no further groups": {map[string]string{"tigerflow.dev/groups": ""}, Identity{65532, 65532, nil}, ""},
		"root":              {map[string]string{"tigerflow.dev/uid": "0"}, Identity{}, `annotation tigerflow.dev/uid of the Namespace: "0": give a number from 1 to 2147483647`},
		"no number":         {map[string]string{"tigerflow.dev/gid": "staff"}, Identity{}, `annotation tigerflow.dev/gid of the Namespace: "staff": give a number from 1 to 2147483647`},
		"too high":          {map[string]string{"tigerflow.dev/groups": "1,2147483648"}, Identity{}, `annotation tigerflow.dev/groups of the Namespace: "2147483648": give a number from 1 to 2147483647`},
	} {
		got, err := usual.of(tt.annotations)
		switch {
		case tt.fault != "":
			if err == nil || err.Error() != tt.fault {
				t.Errorf("%s: %v", name, err)
			}
		case err != nil || got.UID != tt.want.UID || got.GID != tt.want.GID || !slices.Equal(got.Groups, tt.want.Groups):
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
}

func TestSharing(t *testing.T) {
	for _, tt := range []struct {
		modes []corev1.PersistentVolumeAccessMode
		want  sharing
	}{
		{[]corev1.PersistentVolumeAccessMode{"ReadWriteMany"}, sharedByNodes},
		{[]corev1.PersistentVolumeAccessMode{"ReadWriteOnce", "ReadWriteMany"}, sharedByNodes},
		{[]corev1.PersistentVolumeAccessMode{"ReadWriteOnce"}, sharedByNode},
		{[]corev1.PersistentVolumeAccessMode{"ReadWriteOncePod"}, notShared},
		{[]corev1.PersistentVolumeAccessMode{"ReadOnlyMany"}, notShared},
	} {
		if got := sharingOf(tt.modes); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.modes, got, tt.want)
		}
	}
}

// A Pod is made anew when what it is made from changes, and not when its Task is applied again.
func TestTemplateHash(t *testing.T) {
	hash := func(change func(*Template, *input)) string {
		task := &v1alpha1.Task{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "t", UID: "1"}}
		claim := v1alpha1.PersistentVolumeClaim{ClaimName: "c", SubPath: "a"}
		in := &input{
			owner: Owner{"Task", "n", "t"}, object: task, identity: Identity{UID: 1, GID: 2},
			workspace: v1alpha1.Workspace{Path: "/w", Volume: &v1alpha1.WorkspaceVolume{PersistentVolumeClaim: claim}},
		}
		tmpl := &Template{Image: "d", WorkerImage: "w", PythonImage: "p", PullPolicy: corev1.PullIfNotPresent}
		change(tmpl, in)
		pod, err := tmpl.pod(in)
		if err != nil {
			t.Fatal(err)
		}
		return pod.Annotations[annotationTemplate]
	}
	same := hash(func(*Template, *input) {})
	if got := hash(func(_ *Template, in *input) { in.object.SetUID("2") }); got != same {
		t.Error("another Task of the same name makes another hash")
	}
	for name, change := range map[string]func(*Template, *input){
		"image":        func(t *Template, _ *input) { t.Image = "e" },
		"worker image": func(t *Template, _ *input) { t.WorkerImage = "e" },
		"uid":          func(_ *Template, in *input) { in.identity.UID = 9 },
		"groups":       func(_ *Template, in *input) { in.identity.Groups = []int64{9} },
		"same node":    func(_ *Template, in *input) { in.sameNode = true },
		"sub path":     func(_ *Template, in *input) { in.workspace.Volume.PersistentVolumeClaim.SubPath = "b" },
	} {
		if hash(change) == same {
			t.Errorf("another %s leaves the hash as it is", name)
		}
	}
}
