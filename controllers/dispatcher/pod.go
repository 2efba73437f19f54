package dispatcher

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/spool"
)

const (
	// annotationTemplate has the hash of what a Pod was made from: another one makes it out of date.
	annotationTemplate = "tigerflow.dev/template"
	// NodeVariable has the name of the node in the environment of a dispatcher.
	NodeVariable = "TIGERFLOW_NODE"
	// port is where a dispatcher serves its health and metrics.
	port = 8080

	endGrace       = int64(30) // seconds, of a dispatcher that is to end
	nodePatience   = int64(60) // seconds, after which a dispatcher leaves a node that does not answer
	containerName  = "dispatcher"
	volumeOfFiles  = "workspace"
	volumeOfOwn    = "tmp"
	userTemporary  = "/tmp"
	healthFailures = 6 // looks in a row: one that is slow, on a busy node, is not dead
)

// Template is what all dispatchers of a cluster have in common.
type Template struct {
	Image, WorkerImage, PythonImage string
	PullPolicy                      corev1.PullPolicy
	Resources                       corev1.ResourceRequirements
	Identity                        Identity // where the Namespace does not say
}

// input is all that one dispatcher's Pod is made from.
type input struct {
	owner     Owner
	object    metav1.Object // the Task or the Pipeline
	workspace v1alpha1.Workspace
	identity  Identity
	sameNode  bool
	lead      *v1alpha1.Task  // whose functions choose files; nil if there are none
	workers   []*v1alpha1.Pod // what the author says of the Pods of each Task's workers; nil where nothing
}

// pod is the Pod of a dispatcher. The volume of its workspace must be set.
func (t *Template) pod(in *input) (*corev1.Pod, error) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: in.owner.Namespace, Name: in.owner.PodName(),
			Labels:      labels(),
			Annotations: map[string]string{},
		},
		Spec: t.spec(in),
	}
	if in.lead != nil {
		t.addStaging(&pod.Spec, in)
	}
	if err := place(&pod.Spec, in); err != nil {
		return nil, err
	}
	text, err := json.Marshal(pod) // without what differs between two Tasks of the same name
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	pod.Annotations[annotationTemplate] = hex.EncodeToString(sum[:8])
	pod.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: in.owner.Kind, Name: in.owner.Name, UID: in.object.GetUID(), Controller: new(true),
	}}
	return pod, nil
}

// place has the Pod use the secrets by which the workers' images are pulled, and, where all must run on one node, choose one that
// the workers of the first Task with something to say can run on.
func place(spec *corev1.PodSpec, in *input) error {
	chosen := !in.sameNode
	for _, w := range in.workers {
		if w == nil {
			continue
		}
		for _, secret := range w.ImagePullSecrets {
			ref := corev1.LocalObjectReference{Name: secret.Name}
			if !slices.Contains(spec.ImagePullSecrets, ref) {
				spec.ImagePullSecrets = append(spec.ImagePullSecrets, ref)
			}
		}
		if chosen || w.NodeSelector == nil && w.Tolerations == nil && w.Affinity == nil {
			continue
		}
		chosen = true
		text, err := json.Marshal(v1alpha1.Pod{NodeSelector: w.NodeSelector, Tolerations: w.Tolerations, Affinity: w.Affinity})
		if err != nil {
			return err
		}
		theirs := corev1.PodSpec{} // its fields have the same names
		if err := json.Unmarshal(text, &theirs); err != nil {
			return err
		}
		spec.NodeSelector, spec.Affinity = theirs.NodeSelector, theirs.Affinity
		spec.Tolerations = append(spec.Tolerations, theirs.Tolerations...)
	}
	return nil
}

// labels are on all that is made for dispatchers.
func labels() map[string]string {
	return map[string]string{v1alpha1.LabelName: v1alpha1.NameDispatcher, v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
}

// spec passes the Pod Security Standard Restricted. There is no fsGroup: it would change the owners of the files of a volume.
func (t *Template) spec(in *input) corev1.PodSpec {
	claim := in.workspace.Volume.PersistentVolumeClaim
	return corev1.PodSpec{
		ServiceAccountName: v1alpha1.NameDispatcher, AutomountServiceAccountToken: new(false), EnableServiceLinks: new(false),
		RestartPolicy: corev1.RestartPolicyAlways, TerminationGracePeriodSeconds: new(endGrace),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: new(true), RunAsUser: new(in.identity.UID), RunAsGroup: new(in.identity.GID), SupplementalGroups: in.identity.Groups,
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Tolerations: []corev1.Toleration{
			{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: new(nodePatience)},
			{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: new(nodePatience)},
		},
		Containers: []corev1.Container{t.container(in, claim.SubPath)},
		Volumes: []corev1.Volume{
			{Name: volumeOfFiles, VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim.ClaimName},
			}},
			{Name: volumeOfOwn, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			token(),
		},
	}
}

func (t *Template) container(in *input, subPath string) corev1.Container {
	return corev1.Container{
		Name: containerName, Image: t.Image, ImagePullPolicy: t.PullPolicy, Args: t.args(in), Resources: t.Resources,
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		Env: []corev1.EnvVar{
			fieldVariable(spool.PodVariable, "metadata.uid"), fieldVariable(NodeVariable, "spec.nodeName"),
			{Name: "TMPDIR", Value: userTemporary},
		},
		Ports:           []corev1.ContainerPort{{Name: "http", ContainerPort: port, Protocol: corev1.ProtocolTCP}},
		LivenessProbe:   probe("/healthz", 10),
		ReadinessProbe:  probe("/readyz", 5),
		SecurityContext: confined(),
		VolumeMounts: []corev1.VolumeMount{
			{Name: volumeOfFiles, MountPath: in.workspace.Path, SubPath: subPath},
			{Name: volumeOfOwn, MountPath: userTemporary},
			{Name: "token", MountPath: tokenPath, ReadOnly: true},
		},
	}
}

// args are those of cmd/dispatcher.
func (t *Template) args(in *input) []string {
	which := "--task="
	if in.owner.Kind == KindPipeline {
		which = "--pipeline="
	}
	args := []string{
		"--namespace=" + in.owner.Namespace, which + in.owner.Name,
		"--worker-image=" + t.WorkerImage, "--python-image=" + t.PythonImage, "--image-pull-policy=" + string(t.PullPolicy),
		"--uid=" + strconv.FormatInt(in.identity.UID, 10), "--gid=" + strconv.FormatInt(in.identity.GID, 10),
		"--listen-address=:" + strconv.Itoa(port),
	}
	if len(in.identity.Groups) > 0 {
		args = append(args, "--groups="+JoinGroups(in.identity.Groups))
	}
	if in.sameNode {
		args = append(args, "--same-node")
	}
	return args
}

func fieldVariable(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path}}}
}

func probe(path string, seconds int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("http"), Scheme: corev1.URISchemeHTTP}},
		PeriodSeconds: seconds, TimeoutSeconds: 5, FailureThreshold: healthFailures, SuccessThreshold: 1,
	}
}
