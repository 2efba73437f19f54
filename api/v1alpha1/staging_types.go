package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// StagingStep filters, orders or limits the files that wait in the input directory: exactly one of the fields.
//
// +kubebuilder:validation:ExactlyOneOf=minSize;maxSize;minAge;filenameMatch;companionFile;maxStaged;maxBatch;sortBy;callable
type StagingStep struct {
	// minSize keeps files of at least so many bytes, with or without a unit. Example: 1Ki
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:Pattern=`^[0-9]{1,16}(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$`
	// +kubebuilder:validation:MaxLength=18
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0')) && !quantity(string(self)).isGreaterThan(quantity('1024Pi'))",message="minSize must be more than 0 and at most 1024Pi"
	MinSize *resource.Quantity `json:"minSize,omitempty"`

	// maxSize keeps files of at most so many bytes, with or without a unit. Example: 2Gi
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:Pattern=`^[0-9]{1,16}(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$`
	// +kubebuilder:validation:MaxLength=18
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0')) && !quantity(string(self)).isGreaterThan(quantity('1024Pi'))",message="maxSize must be more than 0 and at most 1024Pi"
	MaxSize *resource.Quantity `json:"maxSize,omitempty"`

	// minAge keeps files that were last modified at least so long ago. Example: 30s
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}([.][0-9]{1,3})?(h|m|s)|[0-9]{1,6}ms)+$') && duration(self) > duration('0s') && duration(self) <= duration('8760h')",message="must be a duration of more than 0s and at most 8760h, such as 90s, 2h or 1h30m"
	MinAge *metav1.Duration `json:"minAge,omitempty"`

	// filenameMatch keeps files in whose name the regular expression is found, anywhere unless it begins with ^ or ends
	// with $. Its syntax is RE2. Example: ^recording_\d+
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^[^\x00]+$`
	FilenameMatch string `json:"filenameMatch,omitempty"`

	// companionFile keeps files beside which there is one of the same name with this extension in place of the last one.
	// Example: .done
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^([.][a-zA-Z0-9_]+)+$')",message="extension must start with a dot and go on with letters, digits, _ and dots between them, such as .txt or .tar.gz"
	// +kubebuilder:validation:XValidation:rule="!self.endsWith('.err')",message="extension must not end in .err, which marks failed files: choose another"
	CompanionFile string `json:"companionFile,omitempty"`

	// maxStaged keeps as many files as there may be in the Pipeline at once, neither finished nor failed, less those that
	// are in it. Example: 100
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000
	MaxStaged int64 `json:"maxStaged,omitempty"`

	// maxBatch keeps so many files in each round of staging. Example: 20
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000
	MaxBatch int64 `json:"maxBatch,omitempty"`

	// sortBy orders the files. Steps that limit their number then keep the first ones. Example: {key: MTime, reverse: true}
	// +optional
	SortBy *SortBy `json:"sortBy,omitempty"`

	// callable is a Python function MODULE:FUNCTION that is given the paths and a StagingContext of TigerFlow and returns
	// the paths to go on with. Example: my_module:my_filter
	// +optional
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^[a-zA-Z_][a-zA-Z0-9_]*([.][a-zA-Z_][a-zA-Z0-9_]*)*:[a-zA-Z_][a-zA-Z0-9_]*$`
	Callable string `json:"callable,omitempty"`
}

// SortKey is what files are ordered by.
//
// +kubebuilder:validation:Enum=Name;Size;MTime
type SortKey string

const (
	// SortByName orders files by their names.
	SortByName SortKey = "Name"
	// SortBySize orders files by their sizes, the smallest first.
	SortBySize SortKey = "Size"
	// SortByMTime orders files by the time of their last modification, the oldest first.
	SortByMTime SortKey = "MTime"
)

// SortBy orders files.
type SortBy struct {
	// key is Name, Size (the smallest first) or MTime (the oldest first).
	// +optional
	// +kubebuilder:default=Name
	Key SortKey `json:"key,omitempty"`

	// reverse true orders the other way round.
	// +optional
	// +kubebuilder:default=false
	Reverse *bool `json:"reverse,omitempty"`
}
