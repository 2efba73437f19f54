package v1alpha1

// Pod is what the pods of a Task's workers have besides what follows from the rest of the spec. The fields are those of
// the same names in the spec and metadata of a Pod, and this list is closed: users and groups are the administrator's to say.
type Pod struct {
	// nodeSelector has the labels that a node must have. Example: {nvidia.com/gpu.product: NVIDIA-A100}
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 317 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$'))",message="a label's name has letters, digits, '-', '_' and '.', at most 63, and may have a domain and a slash before it"
	NodeSelector map[string]LabelValue `json:"nodeSelector,omitempty"`

	// tolerations are the taints of nodes that keep no worker away.
	// Example: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Tolerations []Toleration `json:"tolerations,omitempty"` //nolint:kubeapilinter // no field of a toleration is required in a Pod

	// affinity says near which nodes and pods the workers run, or far from which.
	// +optional
	Affinity *Affinity `json:"affinity,omitempty"`

	// priorityClassName is that of a PriorityClass. Default: the cluster's default.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	PriorityClassName string `json:"priorityClassName,omitempty"`

	// runtimeClassName is that of a RuntimeClass. Default: the node's own runtime. Example: nvidia
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	RuntimeClassName string `json:"runtimeClassName,omitempty"`

	// imagePullSecrets name the Secrets of the namespace by which images are pulled. Example: [{name: registry}]
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	ImagePullSecrets []SecretReference `json:"imagePullSecrets,omitempty"`

	// labels are further labels of the pods. Those of tigerflow.dev are the engine's own. Example: {team: astro}
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 317 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$'))",message="a label's name has letters, digits, '-', '_' and '.', at most 63, and may have a domain and a slash before it"
	// +kubebuilder:validation:XValidation:rule="!self.exists(k, k.startsWith('tigerflow.dev/'))",message="labels of tigerflow.dev are the engine's own: choose another prefix"
	Labels map[string]LabelValue `json:"labels,omitempty"`

	// annotations are further annotations of the pods. Those of tigerflow.dev are the engine's own.
	// Example: {sidecar.istio.io/inject: "false"}
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 317 && k.lowerAscii().matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$'))",message="an annotation's name has letters, digits, '-', '_' and '.', at most 63, and may have a domain and a slash before it"
	// +kubebuilder:validation:XValidation:rule="!self.exists(k, k.startsWith('tigerflow.dev/'))",message="annotations of tigerflow.dev are the engine's own: choose another prefix"
	Annotations map[string]AnnotationValue `json:"annotations,omitempty"`
}

// LabelValue is the value of a label.
//
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$`
type LabelValue string

// AnnotationValue is the value of an annotation.
//
// +kubebuilder:validation:MaxLength=4096
type AnnotationValue string

// SecretReference names a Secret of the Task's namespace.
type SecretReference struct {
	// name is that of the Secret. Example: registry
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Name string `json:"name,omitempty"`
}

// Toleration is a taint that keeps no worker away.
//
// +kubebuilder:validation:XValidation:rule="!has(self.operator) || self.operator != 'Exists' || !has(self.value)",fieldPath=".value",message="operator Exists takes any value: leave value out"
// +kubebuilder:validation:XValidation:rule="has(self.key) || has(self.operator) && self.operator == 'Exists'",fieldPath=".operator",message="without a key all taints are meant: set operator to Exists"
// +kubebuilder:validation:XValidation:rule="!has(self.tolerationSeconds) || has(self.effect) && self.effect == 'NoExecute'",fieldPath=".tolerationSeconds",message="tolerationSeconds is for effect NoExecute: set effect, or leave it out"
type Toleration struct {
	// key is that of the taint. Default: any. Example: nvidia.com/gpu
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:Pattern=`^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$`
	Key string `json:"key,omitempty"`

	// operator is Equal (the taint has the value) or Exists (whatever its value). Default: Equal
	// +optional
	// +kubebuilder:validation:Enum=Equal;Exists
	Operator string `json:"operator,omitempty"`

	// value is that of the taint.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$`
	Value string `json:"value,omitempty"`

	// effect is that of the taint. Default: any.
	// +optional
	// +kubebuilder:validation:Enum=NoSchedule;PreferNoSchedule;NoExecute
	Effect string `json:"effect,omitempty"`

	// tolerationSeconds is for how long a taint of effect NoExecute is borne. Default: for ever.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=31536000
	TolerationSeconds *int64 `json:"tolerationSeconds,omitempty"`
}
