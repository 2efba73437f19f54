package v1alpha1

// Workspace is the directory that a Task works in.
//
// +kubebuilder:validation:XValidation:rule="!has(self.volume) || !self.path.contains(':')",fieldPath=".path",message="path must not contain ':', as no volume is mounted at such a one: choose another path"
// +kubebuilder:validation:XValidation:rule="!has(self.volume) || !self.path.matches('^(/+[.]?)*(/+((tmp|staging)(/+[.]?)*|tigerflow(/.*)?))?$')",fieldPath=".path",message="/, /tmp, /staging and /tigerflow are the engine's own in pods: choose another path, or a directory in /tmp or /staging"
type Workspace struct {
	// path is the absolute path of the directory, the same in every pod, container and compute node. A Slurm bridge may be told
	// that its nodes have it elsewhere.
	// Example: /scratch/me/tiktok
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
	// +kubebuilder:validation:XValidation:rule="self.startsWith('/')",message="path must be absolute: start it with a slash"
	// +kubebuilder:validation:XValidation:rule="!self.matches('(^|/)[.][.](/|$)')",message="path must not contain '..': write the path that it leads to"
	Path string `json:"path,omitempty"`

	// volume is what is mounted at the path of every pod. Unset: the path exists where the workers run.
	// +optional
	Volume *WorkspaceVolume `json:"volume,omitempty"`
}

// WorkspaceVolume is the volume that holds a workspace in a cluster.
type WorkspaceVolume struct {
	// persistentVolumeClaim is a claim in the Task's namespace. Several workers need one that many nodes can write
	// (ReadWriteMany).
	// +required
	PersistentVolumeClaim PersistentVolumeClaim `json:"persistentVolumeClaim,omitzero"`
}

// PersistentVolumeClaim names a claim and a directory in its volume.
type PersistentVolumeClaim struct {
	// claimName is the name of the claim. Example: scratch
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	ClaimName string `json:"claimName,omitempty"`

	// subPath is the directory of the volume that becomes the workspace, relative to the volume's root.
	// Default: the root. Example: me/tiktok
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^[^/\x00-\x1f\x7f][^\x00-\x1f\x7f]*$`
	// +kubebuilder:validation:XValidation:rule="!self.matches('(^|/)[.][.](/|$)')",message="subPath must not contain '..': write the path that it leads to"
	SubPath string `json:"subPath,omitempty"`
}

// FileSet is the files of one directory with one extension.
type FileSet struct {
	// directory is relative to the workspace, or absolute. Example: videos
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
	// +kubebuilder:validation:XValidation:rule="!self.matches('(^|/)[.][.](/|$)')",message="directory must not contain '..': write the path that it leads to"
	Directory string `json:"directory,omitempty"`

	// extension is the end of the file names, with its dot. It must not end in .err, which marks failures. Example: .tar.gz
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^([.][a-zA-Z0-9_]+)+$')",message="extension must start with a dot and go on with letters, digits, _ and dots between them, such as .txt or .tar.gz"
	// +kubebuilder:validation:XValidation:rule="!self.endsWith('.err')",message="extension must not end in .err, which marks failed files: choose another"
	Extension string `json:"extension,omitempty"`

	// recursive says whether the directories in an input are searched as well; outputs then lie in directories of the same
	// names. Not entered are directories whose names begin with a dot, links to directories, and the output directory.
	// Default: false
	// +optional
	Recursive *bool `json:"recursive,omitempty"`
}
