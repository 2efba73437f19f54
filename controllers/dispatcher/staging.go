package dispatcher

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

// Where the functions run that choose a Pipeline's files: in a container of the dispatcher's Pod that has the author's image and
// no token, reached by a socket. The worker program, put there as it is into the Pods of workers, serves that.
const (
	stagingContainer = "staging"
	stagingProgram   = "/tigerflow"
	stagingSockets   = "/staging"
	stagingSocket    = stagingSockets + "/socket"
)

// leadOf is the Task whose functions choose the files of its Pipeline; nil if there are none.
func leadOf(tasks []*v1alpha1.Task) *v1alpha1.Task {
	for _, t := range tasks {
		if p := t.Spec.Pipeline; p != nil && p.Lead != nil &&
			slices.ContainsFunc(p.Lead.Staging, func(s v1alpha1.StagingStep) bool { return s.Callable != "" }) {
			return t
		}
	}
	return nil
}

// addStaging adds the container to a dispatcher's Pod.
func (t *Template) addStaging(spec *corev1.PodSpec, in *input) {
	image := t.PythonImage
	if c := in.lead.Spec.Container; c != nil {
		image = cmp.Or(c.Image, image)
	}
	program := corev1.VolumeMount{Name: "worker", MountPath: stagingProgram}
	sockets := corev1.VolumeMount{Name: "staging", MountPath: stagingSockets}
	files := spec.Containers[0].VolumeMounts[0]
	spec.InitContainers = []corev1.Container{{
		Name: "install", Image: t.WorkerImage, ImagePullPolicy: t.PullPolicy, Command: []string{"/tigerflow-worker", "install", stagingProgram},
		Resources: t.Resources, SecurityContext: confined(), VolumeMounts: []corev1.VolumeMount{program},
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}}
	program.ReadOnly = true
	spec.Containers = append(spec.Containers, corev1.Container{
		Name: stagingContainer, Image: image, ImagePullPolicy: t.PullPolicy,
		Command:   []string{stagingProgram + "/tigerflow-worker", "stage", stagingSocket},
		Resources: t.Resources, SecurityContext: confined(), WorkingDir: in.workspace.Path,
		Env:          []corev1.EnvVar{{Name: "HOME", Value: userTemporary}, {Name: "TMPDIR", Value: userTemporary}},
		VolumeMounts: []corev1.VolumeMount{files, program, sockets, {Name: "staging-tmp", MountPath: userTemporary}},

		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	})
	dispatcher := &spec.Containers[0]
	dispatcher.Args = append(dispatcher.Args, "--staging-socket="+stagingSocket)
	dispatcher.VolumeMounts = append(dispatcher.VolumeMounts, sockets)
	for _, name := range []string{program.Name, sockets.Name, "staging-tmp"} {
		spec.Volumes = append(spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
	}
}

// confined passes the Pod Security Standard Restricted.
func confined() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
}

// token is the volume by which the dispatcher's container alone has the ServiceAccount's token: as Kubernetes makes it for all
// containers of a Pod.
func token() corev1.Volume {
	return corev1.Volume{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: new(int64(3607))}},
		{ConfigMap: &corev1.ConfigMapProjection{
			LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}, Items: []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}},
		}},
		{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{
			{Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"}},
		}}},
	}}}}
}

// tokenPath is where clients look for it.
const tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount"
