package pod

import (
	"encoding/json"
	"maps"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/internal/inpod"
	"tigerflow.dev/tigerflow/internal/tether"
	"tigerflow.dev/tigerflow/task/protocol"
)

// Names within a Pod.
const (
	installContainer = "install"
	workerContainer  = "worker"
	imageWorker      = "/tigerflow-worker" // in the worker's image
	workerDir        = "/tigerflow"
	scratchDir       = "/tmp" // home, too: the root is read-only
	gpuResource      = "nvidia.com/gpu"
)

// pod is the Pod of a worker. Admission at the level Restricted lets it pass: k8s.io/pod-security-admission.
func (c *Config) pod(t *v1alpha1.Task, s executor.Spec) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name(t, s.ID), Namespace: t.Namespace, Labels: map[string]string{}, Annotations: map[string]string{},
			// The garbage collector ends the workers of a deleted Task, and nothing waits for that.
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1alpha1.GroupVersion.String(), Kind: "Task", Name: t.Name, UID: t.UID, Controller: new(true),
			}},
		},
		Spec: corev1.PodSpec{
			RestartPolicy:                 corev1.RestartPolicyNever,
			AutomountServiceAccountToken:  new(false),
			EnableServiceLinks:            new(false),
			TerminationGracePeriodSeconds: new(max(1, int64(math.Ceil(s.DrainTimeout.Seconds())))),
			SecurityContext:               c.As.pod(),
			Containers:                    []corev1.Container{c.worker(t, s)},
			Volumes:                       volumes(t),
		},
	}
	if t.Spec.Container == nil || t.Spec.Container.WorkerPath == "" {
		p.Spec.InitContainers = []corev1.Container{c.install(s)}
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "worker", VolumeSource: emptyDir()})
	}
	override(p, t.Spec.Pod)
	if c.Node != "" {
		pin(&p.Spec, c.Node)
	}
	avoid(&p.Spec, s.Avoid)
	maps.Copy(p.Labels, c.Select)
	maps.Copy(p.Labels, map[string]string{
		v1alpha1.LabelName: v1alpha1.NameWorker, v1alpha1.LabelTask: t.Name,
		v1alpha1.LabelWorkerKey: s.ID.Key, v1alpha1.LabelWorker: s.ID.String(),
	})
	return p
}

// name is that of a worker's Pod: the Task's, as much as fits, and the worker's id.
func name(t *v1alpha1.Task, id executor.WorkerID) string {
	tail := "-" + id.Key + "-" + strconv.Itoa(id.Index) + "-r" + strconv.Itoa(id.Restart)
	head := strings.ReplaceAll(t.Name, ".", "-")
	return strings.TrimRight(head[:min(len(head), 63-len(tail))], "-") + tail
}

func (id Identity) pod() *corev1.PodSecurityContext {
	return &corev1.PodSecurityContext{
		RunAsNonRoot: new(true), RunAsUser: new(id.UID), RunAsGroup: new(id.GID), SupplementalGroups: id.Groups,
		// Else the author's image could say which groups its user is in.
		SupplementalGroupsPolicy: new(corev1.SupplementalGroupsPolicyStrict),
		SeccompProfile:           &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}

func confined() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
}

// install is the container that puts the worker program into the Pod.
func (c *Config) install(s executor.Spec) corev1.Container {
	small := s.Resources
	small.GPUs = 0
	return corev1.Container{
		Name: installContainer, Image: c.Images.Worker, ImagePullPolicy: c.Images.Pull,
		Command: []string{imageWorker, "install", workerDir}, SecurityContext: confined(), Resources: resources(small),
		VolumeMounts:             []corev1.VolumeMount{{Name: "worker", MountPath: workerDir}},
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}
}

// worker is the container of the author's image. That image's own entry point is not used.
func (c *Config) worker(t *v1alpha1.Task, s executor.Spec) corev1.Container {
	w := corev1.Container{
		Name: workerContainer, Image: s.Container.Image, ImagePullPolicy: c.Images.Pull, SecurityContext: confined(),
		WorkingDir: t.Spec.Workspace.Path, Resources: resources(s.Resources),
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		Env: []corev1.EnvVar{
			{Name: "HOME", Value: scratchDir},
			{Name: "TMPDIR", Value: scratchDir},
			{Name: "XDG_CACHE_HOME", Value: scratchDir + "/.cache"},
			{Name: tether.CookieEnv, Value: s.ID.String()},
			{Name: inpod.LogEnv, Value: verbatim(s.Log)},
			{Name: protocol.EnvJob, Value: name(t, s.ID)},
			{Name: protocol.EnvNode, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "spec.nodeName"}}},
			{Name: protocol.EnvContainer, Value: "1"},
		},
	}
	if w.Image == "" {
		w.Image = c.Images.Python
	}
	program := path.Join(workerDir, inpod.Program)
	if t.Spec.Container != nil && t.Spec.Container.WorkerPath != "" {
		program = t.Spec.Container.WorkerPath
	} else {
		w.VolumeMounts = append(w.VolumeMounts, corev1.VolumeMount{Name: "worker", MountPath: workerDir, ReadOnly: true})
	}
	for _, arg := range append([]string{program, "run", "--spool", s.Spool, "--id", s.ID.String()}, s.Args...) {
		w.Command = append(w.Command, verbatim(arg))
	}
	w.VolumeMounts = append(w.VolumeMounts, mounts(t)...)
	return w
}

// verbatim spells a text so that Kubernetes, which expands $(NAME) in commands and environments, leaves it as it is.
func verbatim(text string) string { return strings.ReplaceAll(text, "$", "$$") }

// resources are what is asked for. CPUs beyond those asked for may be used, memory may not.
func resources(r executor.Resources) corev1.ResourceRequirements {
	requests, limits := corev1.ResourceList{}, corev1.ResourceList{}
	if r.CPUs > 0 {
		requests[corev1.ResourceCPU] = *resource.NewQuantity(int64(r.CPUs), resource.DecimalSI)
	}
	if r.Memory > 0 {
		memory := *resource.NewQuantity(r.Memory, resource.BinarySI)
		requests[corev1.ResourceMemory], limits[corev1.ResourceMemory] = memory, memory
	}
	if r.GPUs > 0 {
		limits[gpuResource] = *resource.NewQuantity(int64(r.GPUs), resource.DecimalSI)
	}
	return corev1.ResourceRequirements{Requests: requests, Limits: limits}
}

func emptyDir() corev1.VolumeSource {
	return corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
}

// volumes are the scratch space, the workspace, and what the author mounts besides.
func volumes(t *v1alpha1.Task) []corev1.Volume {
	claim := t.Spec.Workspace.Volume.PersistentVolumeClaim.ClaimName
	all := []corev1.Volume{{Name: "scratch", VolumeSource: emptyDir()}, {Name: "workspace", VolumeSource: claimed(claim, false)}}
	if t.Spec.Container == nil {
		return all
	}
	for i, m := range t.Spec.Container.Mounts {
		v := corev1.Volume{Name: mountName(i)}
		switch {
		case m.PersistentVolumeClaim != nil:
			v.VolumeSource = claimed(m.PersistentVolumeClaim.ClaimName, m.ReadOnly != nil && *m.ReadOnly)
		case m.ConfigMap != nil:
			v.ConfigMap = &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: m.ConfigMap.Name}}
		case m.Secret != nil:
			v.Secret = &corev1.SecretVolumeSource{SecretName: m.Secret.Name}
		}
		all = append(all, v)
	}
	return all
}

func claimed(claim string, readOnly bool) corev1.VolumeSource {
	return corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim, ReadOnly: readOnly}}
}

func mountName(i int) string { return "mount-" + strconv.Itoa(i) }

func mounts(t *v1alpha1.Task) []corev1.VolumeMount {
	all := []corev1.VolumeMount{
		{Name: "scratch", MountPath: scratchDir},
		{Name: "workspace", MountPath: t.Spec.Workspace.Path, SubPath: t.Spec.Workspace.Volume.PersistentVolumeClaim.SubPath},
	}
	if t.Spec.Container == nil {
		return all
	}
	for i, m := range t.Spec.Container.Mounts {
		v := corev1.VolumeMount{Name: mountName(i), MountPath: m.Path, ReadOnly: m.PersistentVolumeClaim == nil || m.ReadOnly != nil && *m.ReadOnly}
		if m.PersistentVolumeClaim != nil {
			v.SubPath = m.PersistentVolumeClaim.SubPath
		}
		all = append(all, v)
	}
	return all
}

// override gives a Pod what the author asks for it.
func override(p *corev1.Pod, o *v1alpha1.Pod) {
	if o == nil {
		return
	}
	p.Spec.PriorityClassName = o.PriorityClassName
	if o.RuntimeClassName != "" {
		p.Spec.RuntimeClassName = &o.RuntimeClassName
	}
	for k, v := range o.NodeSelector {
		if p.Spec.NodeSelector == nil {
			p.Spec.NodeSelector = map[string]string{}
		}
		p.Spec.NodeSelector[k] = string(v)
	}
	for k, v := range o.Labels {
		p.Labels[k] = string(v)
	}
	for k, v := range o.Annotations {
		p.Annotations[k] = string(v)
	}
	for _, s := range o.ImagePullSecrets {
		p.Spec.ImagePullSecrets = append(p.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: s.Name})
	}
	for _, t := range o.Tolerations {
		p.Spec.Tolerations = append(p.Spec.Tolerations, corev1.Toleration{
			Key: t.Key, Operator: corev1.TolerationOperator(t.Operator), Value: t.Value, Effect: corev1.TaintEffect(t.Effect),
			TolerationSeconds: t.TolerationSeconds,
		})
	}
	p.Spec.Affinity = affinity(o.Affinity)
}

// affinity is what JSON spells alike.
func affinity(of *v1alpha1.Affinity) *corev1.Affinity {
	if of == nil {
		return nil
	}
	text, err := json.Marshal(of)
	a := &corev1.Affinity{}
	if err == nil {
		err = json.Unmarshal(text, a)
	}
	if err != nil { // not with these types: a test goes through all of them
		panic(err)
	}
	return a
}

// pin keeps a Pod on one node, among those that the author allows.
func pin(s *corev1.PodSpec, node string) {
	required := &nodeAffinity(s).RequiredDuringSchedulingIgnoredDuringExecution
	if *required == nil {
		*required = &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{}}}
	}
	for i := range (*required).NodeSelectorTerms { // any of them would do
		term := &(*required).NodeSelectorTerms[i]
		term.MatchFields = append(slices.Clip(term.MatchFields), corev1.NodeSelectorRequirement{
			Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{node},
		})
	}
}

// avoid has the scheduler put a Pod on one of these nodes only where no other can take it.
func avoid(s *corev1.PodSpec, nodes []string) {
	if len(nodes) == 0 {
		return
	}
	var off corev1.NodeSelectorTerm
	for _, node := range nodes { // a field can be compared with one value at a time
		off.MatchFields = append(off.MatchFields, corev1.NodeSelectorRequirement{
			Key: "metadata.name", Operator: corev1.NodeSelectorOpNotIn, Values: []string{node},
		})
	}
	preferred := &nodeAffinity(s).PreferredDuringSchedulingIgnoredDuringExecution
	*preferred = append(slices.Clip(*preferred), corev1.PreferredSchedulingTerm{Weight: 100, Preference: off})
}

func nodeAffinity(s *corev1.PodSpec) *corev1.NodeAffinity {
	if s.Affinity == nil {
		s.Affinity = &corev1.Affinity{}
	}
	if s.Affinity.NodeAffinity == nil {
		s.Affinity.NodeAffinity = &corev1.NodeAffinity{}
	}
	return s.Affinity.NodeAffinity
}
