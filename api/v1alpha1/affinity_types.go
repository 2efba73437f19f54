package v1alpha1

// Affinity says near which nodes and pods the workers run, or far from which. It and its parts are as a Pod has them, with
// bounds.
type Affinity struct {
	// nodeAffinity is about the labels of nodes.
	// +optional
	NodeAffinity *NodeAffinity `json:"nodeAffinity,omitempty"`

	// podAffinity is about pods to be near to.
	// +optional
	PodAffinity *PodAffinity `json:"podAffinity,omitempty"`

	// podAntiAffinity is about pods to be far from.
	// +optional
	PodAntiAffinity *PodAffinity `json:"podAntiAffinity,omitempty"`
}

// NodeAffinity is about the labels of nodes.
type NodeAffinity struct {
	// requiredDuringSchedulingIgnoredDuringExecution is what a node must fit.
	// +optional
	Required *NodeSelector `json:"requiredDuringSchedulingIgnoredDuringExecution,omitempty"`

	// preferredDuringSchedulingIgnoredDuringExecution is what a node should fit.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Preferred []PreferredNodes `json:"preferredDuringSchedulingIgnoredDuringExecution,omitempty"`
}

// NodeSelector is terms of which a node must fit one.
type NodeSelector struct {
	// nodeSelectorTerms are the terms.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	NodeSelectorTerms []NodeSelectorTerm `json:"nodeSelectorTerms,omitempty"`
}

// NodeSelectorTerm is requirements of which a node must fit all.
type NodeSelectorTerm struct {
	// matchExpressions are the requirements.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	MatchExpressions []NodeRequirement `json:"matchExpressions,omitempty"`
}

// PreferredNodes is a term with its weight.
type PreferredNodes struct {
	// weight is what a node that fits counts for.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Weight int32 `json:"weight,omitempty"`

	// preference is the term.
	// +required
	Preference NodeSelectorTerm `json:"preference,omitzero"`
}

// NodeRequirement is about one label of a node.
//
// +kubebuilder:validation:XValidation:rule="(self.operator in ['Exists', 'DoesNotExist']) != has(self.values)",fieldPath=".values",message="operators Exists and DoesNotExist take no values, and the others do"
// +kubebuilder:validation:XValidation:rule="!(self.operator in ['Gt', 'Lt']) || !has(self.values) || size(self.values) == 1 && self.values[0].matches('^[0-9]{1,18}$')",fieldPath=".values",message="operators Gt and Lt take one value, a whole number"
type NodeRequirement struct {
	// key is the label. Example: nvidia.com/gpu.product
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:Pattern=`^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$`
	Key string `json:"key,omitempty"`

	// operator relates the label to the values.
	// +required
	// +kubebuilder:validation:Enum=In;NotIn;Exists;DoesNotExist;Gt;Lt
	Operator string `json:"operator,omitempty"`

	// values are those that operator is about.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Values []LabelValue `json:"values,omitempty"`
}

// PodAffinity is about pods to be near to, or far from.
type PodAffinity struct {
	// requiredDuringSchedulingIgnoredDuringExecution is what must be so.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Required []PodTerm `json:"requiredDuringSchedulingIgnoredDuringExecution,omitempty"`

	// preferredDuringSchedulingIgnoredDuringExecution is what should be so.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Preferred []PreferredPods `json:"preferredDuringSchedulingIgnoredDuringExecution,omitempty"`
}

// PreferredPods is a term with its weight.
type PreferredPods struct {
	// weight is what a node that fits counts for.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Weight int32 `json:"weight,omitempty"`

	// podAffinityTerm is the term.
	// +required
	Term PodTerm `json:"podAffinityTerm,omitzero"`
}

// PodTerm names pods of the Task's namespace and how near is near.
type PodTerm struct {
	// labelSelector names the pods.
	// +required
	LabelSelector PodSelector `json:"labelSelector,omitzero"`

	// topologyKey is the label that nodes near each other have in common. Example: kubernetes.io/hostname
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:Pattern=`^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$`
	TopologyKey string `json:"topologyKey,omitempty"`
}

// PodSelector names pods by their labels. All of it must fit.
//
// +kubebuilder:validation:MinProperties=1
type PodSelector struct {
	// matchLabels are labels with their values.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 317 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$'))",message="a label's name has letters, digits, '-', '_' and '.', at most 63, and may have a domain and a slash before it"
	MatchLabels map[string]LabelValue `json:"matchLabels,omitempty"`

	// matchExpressions are requirements.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	MatchExpressions []PodRequirement `json:"matchExpressions,omitempty"`
}

// PodRequirement is about one label of a pod.
//
// +kubebuilder:validation:XValidation:rule="(self.operator in ['Exists', 'DoesNotExist']) != has(self.values)",fieldPath=".values",message="operators Exists and DoesNotExist take no values, and the others do"
type PodRequirement struct {
	// key is the label. Example: app.kubernetes.io/name
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:Pattern=`^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$`
	Key string `json:"key,omitempty"`

	// operator relates the label to the values.
	// +required
	// +kubebuilder:validation:Enum=In;NotIn;Exists;DoesNotExist
	Operator string `json:"operator,omitempty"`

	// values are those that operator is about.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Values []LabelValue `json:"values,omitempty"`
}
