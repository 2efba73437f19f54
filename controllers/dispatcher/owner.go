package dispatcher

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

// The kinds of owners.
const (
	KindTask     = "Task"
	KindPipeline = "Pipeline"
)

// Owner names what a dispatcher's Pod belongs to: a Task by itself, or a Pipeline, all of whose Tasks it dispatches. Kind is ""
// for a Pod that belongs to nobody any more; Name is then its own.
type Owner struct {
	Kind, Namespace, Name string
}

// OwnerOf is the owner of the dispatcher of a Task, if it has one.
func OwnerOf(t *v1alpha1.Task) (Owner, bool) {
	if t.Spec.Type == v1alpha1.TaskSlurm {
		return Owner{}, false
	}
	if p := metav1.GetControllerOf(t); isOurs(p) && p.Kind == KindPipeline {
		return Owner{KindPipeline, t.Namespace, p.Name}, true
	}
	return Owner{KindTask, t.Namespace, t.Name}, true
}

// ownerOfPod is the owner that a Pod names.
func ownerOfPod(pod metav1.Object) Owner {
	if p := metav1.GetControllerOf(pod); isOurs(p) {
		return Owner{p.Kind, pod.GetNamespace(), p.Name}
	}
	return Owner{"", pod.GetNamespace(), pod.GetName()}
}

func isOurs(ref *metav1.OwnerReference) bool {
	return ref != nil && strings.HasPrefix(ref.APIVersion, v1alpha1.GroupVersion.Group+"/")
}

// maxName is how long the name of a Pod may be that becomes its host name as it is.
const maxName = 63

// PodName is the name of the dispatcher's Pod. No two owners of a namespace have the same.
func (o Owner) PodName() string {
	if o.Kind == "" {
		return o.Name
	}
	plain := "tigerflow-" + strings.ToLower(o.Kind) + "-" + o.Name
	name := strings.ReplaceAll(plain, ".", "-")
	if name == plain && len(name) <= maxName && !strings.Contains(name, "--") { // which tells the others
		return name
	}
	sum := sha256.Sum256([]byte(plain))
	hash := "--" + hex.EncodeToString(sum[:4])
	return strings.TrimRight(name[:min(len(name), maxName-len(hash))], "-") + hash
}

func (o Owner) key() types.NamespacedName {
	return types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
}

func (o Owner) podKey() types.NamespacedName {
	return types.NamespacedName{Namespace: o.Namespace, Name: o.PodName()}
}
