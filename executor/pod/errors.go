package pod

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/executor"
)

// QuotaExceeded is the reason of a *executor.WaitError: the namespace has no room for another Pod.
const QuotaExceeded = "QuotaExceeded"

// quotaRetry is when the API server is asked again that had no room.
const quotaRetry = 15 * time.Second

// refusal says what to do about a Pod that the API server has not made. What a person must mend has the server's words: a
// policy (Forbidden), a field (Invalid), a webhook. What the control plane is still about to make is tried again.
func refusal(err error) error {
	text := err.Error()
	switch {
	case !isRefusal(err), apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return err
	case apierrors.IsForbidden(err) && strings.Contains(text, "exceeded quota"): // k8s.io/apiserver/pkg/admission/plugin/resourcequota
		return &executor.WaitError{Reason: QuotaExceeded, Message: text, Until: time.Now().Add(quotaRetry), Err: err}
	case apierrors.IsForbidden(err) && (strings.Contains(text, "cannot create resource") || strings.Contains(text, "looking up service account")):
		return err
	}
	return &executor.StalledError{Reason: string(v1alpha1.ReasonPodRefused), Message: "the API server refuses the Pod: " + text, Err: err}
}

// isRefusal reports whether the API server has answered, and that it will not do it.
func isRefusal(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsRequestEntityTooLargeError(err)
}

func refused(format string, args ...any) error {
	return &executor.StalledError{Reason: string(v1alpha1.ReasonPodRefused), Message: fmt.Sprintf(format, args...)}
}

// validate says what no Pod can be made of.
func validate(s executor.Spec, t *v1alpha1.Task) error {
	if err := s.Validate(); err != nil {
		return &executor.StalledError{Reason: string(v1alpha1.ReasonInvalidWorker), Message: err.Error(), Err: err}
	}
	if !utf8.ValidString(s.Spool + s.Log + strings.Join(s.Args, "")) {
		return &executor.StalledError{Reason: string(v1alpha1.ReasonInvalidWorker), Message: "paths and flags of a worker in a Pod must be UTF-8"}
	}
	if t.Spec.Workspace.Volume == nil {
		return &executor.StalledError{
			Reason:  string(v1alpha1.ReasonWorkspaceNotFound),
			Message: "spec.workspace.volume: workers here run in Pods: apply the Task anew with the PersistentVolumeClaim that holds " + t.Spec.Workspace.Path,
		}
	}
	return nil
}
