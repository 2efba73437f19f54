package main

import (
	"fmt"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/labels"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/controllers/dispatcher"
	"tigerflow.dev/tigerflow/executor/pod"
	"tigerflow.dev/tigerflow/internal/cli"
)

// newWorkers is the executor whose workers are Pods. It must be closed.
func newWorkers(s *settings, log logr.Logger) (*pod.Executor, error) {
	c, err := typedcorev1.NewForConfig(s.rest)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	label := v1alpha1.LabelTask
	if s.owner.Kind == dispatcher.KindPipeline {
		label = v1alpha1.LabelPipeline
	}
	return pod.New(pod.Config{
		Pods: c.Pods(s.owner.Namespace), Select: labels.Set{label: s.owner.Name},
		Images: pod.Images{Worker: s.workerImage, Python: s.pythonImage, Pull: s.pullPolicy},
		As:     pod.Identity{UID: s.identity.UID, GID: s.identity.GID, Groups: s.identity.Groups},
		Node:   s.node, Log: cli.Slog(log),
	}), nil
}
