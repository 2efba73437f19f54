// Package v1alpha1 is the API group tigerflow.dev/v1alpha1: what a user writes and what the control plane reports back.
//
// The CustomResourceDefinitions in config/crd are generated from the types and markers of this package. Whatever the
// generated schema admits decodes into these types; what no schema can express is checked by Go code of this package.
//
// +kubebuilder:object:generate=true
// +groupName=tigerflow.dev
package v1alpha1
