package kube

import (
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"tigerflow.dev/tigerflow/internal/version"
)

// Image is the image of this release with such a name: dispatcher, say.
func Image(name string) string { return "tigerflow.dev/" + name + ":" + tag() }

// notInTag is what a version may have and a tag may not.
var notInTag = regexp.MustCompile(`[^a-zA-Z0-9_.-]+`)

// tag is that of the images that belong to this program.
func tag() string { return strings.Trim(notInTag.ReplaceAllString(version.Get().Version, "-"), "-.") }

// PullPolicies are those that Kubernetes has.
func PullPolicies() []string {
	return []string{string(corev1.PullIfNotPresent), string(corev1.PullAlways), string(corev1.PullNever)}
}
