package v1alpha1

// Mount is a volume that the pods of a Task's workers have besides the workspace: exactly one of persistentVolumeClaim,
// configMap and secret.
//
// +kubebuilder:validation:ExactlyOneOf=persistentVolumeClaim;configMap;secret
// +kubebuilder:validation:XValidation:rule="!has(self.readOnly) || self.readOnly || has(self.persistentVolumeClaim)",fieldPath=".readOnly",message="a configMap or a secret cannot be written: leave out readOnly"
type Mount struct {
	// path is where the container has it: absolute. Example: /models
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f:]+$`
	// +kubebuilder:validation:XValidation:rule="self.startsWith('/')",message="path must be absolute: start it with a slash"
	// +kubebuilder:validation:XValidation:rule="!self.matches('(^|/)[.][.](/|$)')",message="path must not contain '..': write the path that it leads to"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^(/+[.]?)*(/+(tmp(/+[.]?)*|tigerflow(/.*)?))?$')",message="/, /tmp and /tigerflow are the engine's own: choose another path"
	Path string `json:"path,omitempty"`

	// persistentVolumeClaim is a claim in the Task's namespace.
	// +optional
	PersistentVolumeClaim *PersistentVolumeClaim `json:"persistentVolumeClaim,omitempty"`

	// configMap is one in the Task's namespace, whose keys become files.
	// +optional
	ConfigMap *ConfigMapReference `json:"configMap,omitempty"`

	// secret is one in the Task's namespace, whose keys become files.
	// +optional
	Secret *SecretReference `json:"secret,omitempty"`

	// readOnly true has the workers only read a persistentVolumeClaim. Default: false
	// +optional
	ReadOnly *bool `json:"readOnly,omitempty"`
}

// ConfigMapReference names a ConfigMap of the Task's namespace.
type ConfigMapReference struct {
	// name is that of the ConfigMap. Example: vocabulary
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Name string `json:"name,omitempty"`
}
