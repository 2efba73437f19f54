package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/rest"

	"tigerflow.dev/tigerflow/controllers/dispatcher"
	"tigerflow.dev/tigerflow/internal/kube"
)

// flags are the command line as it was given.
type flags struct {
	kubeconfig, namespace                          string
	elect                                          bool
	electIn                                        string
	metrics, certificates, health                  string
	dispatcherImage, workerImage, pythonImage      string
	pullPolicy, requests, limits, uid, gid, groups string
}

// settings are what a manager needs to know, checked.
type settings struct {
	rest         *rest.Config
	namespace    string // "" is all
	elect        bool
	electIn      string
	metrics      string
	certificates string
	health       string
	template     dispatcher.Template
}

// How much of the API server a manager may have. The server shares itself out among its clients.
const requestsPerSecond, requestsAtOnce = 100, 200

// resolve checks the command line.
func (f *flags) resolve() (*settings, error) {
	s := &settings{
		namespace: f.namespace, elect: f.elect, electIn: f.electIn, metrics: f.metrics, certificates: f.certificates, health: f.health,
		template: dispatcher.Template{
			Image: f.dispatcherImage, WorkerImage: f.workerImage, PythonImage: f.pythonImage, PullPolicy: corev1.PullPolicy(f.pullPolicy),
		},
	}
	for flag, image := range map[string]string{
		"dispatcher-image": f.dispatcherImage, "worker-image": f.workerImage, "python-image": f.pythonImage,
	} {
		if image == "" || strings.HasPrefix(image, "-") || strings.ContainsAny(image, " \t\r\n") {
			return nil, fmt.Errorf("--%s %q: give the reference of an image", flag, image)
		}
	}
	if !slices.Contains(kube.PullPolicies(), f.pullPolicy) {
		return nil, fmt.Errorf("--image-pull-policy %q: give %s", f.pullPolicy, strings.Join(kube.PullPolicies(), ", "))
	}
	if err := f.identity(&s.template.Identity); err != nil {
		return nil, err
	}
	var err error
	if s.template.Resources.Requests, err = resources(f.requests); err != nil {
		return nil, fmt.Errorf("--dispatcher-requests: %w", err)
	}
	if s.template.Resources.Limits, err = resources(f.limits); err != nil {
		return nil, fmt.Errorf("--dispatcher-limits: %w", err)
	}
	return s, s.connect(f.kubeconfig)
}

func (f *flags) identity(i *dispatcher.Identity) (err error) {
	if i.UID, err = dispatcher.ParseID(f.uid); err != nil {
		return fmt.Errorf("--uid %w", err)
	}
	if i.GID, err = dispatcher.ParseID(f.gid); err != nil {
		return fmt.Errorf("--gid %w", err)
	}
	if i.Groups, err = dispatcher.ParseGroups(f.groups); err != nil {
		return fmt.Errorf("--groups %w", err)
	}
	return nil
}

// resources reads what kubectl takes as --requests: cpu=100m,memory=1Gi.
func resources(text string) (corev1.ResourceList, error) {
	if text == "" {
		return nil, nil
	}
	list := corev1.ResourceList{}
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(part, "=")
		quantity, err := resource.ParseQuantity(value)
		if !ok || name == "" || err != nil || quantity.Sign() < 0 {
			return nil, fmt.Errorf("%q: give it as cpu=100m,memory=1Gi", part)
		}
		list[corev1.ResourceName(name)] = quantity
	}
	return list, nil
}

// connect finds out how to reach the cluster.
func (s *settings) connect(kubeconfig string) (err error) {
	if s.rest, err = kube.Connect(kubeconfig, program, requestsPerSecond, requestsAtOnce); err != nil {
		return err
	}
	if s.electIn == "" && s.elect {
		own, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
		if err != nil {
			return errors.New("--leader-election-namespace: give it, or --leader-elect=false: this is no Pod with a namespace of its own")
		}
		s.electIn = strings.TrimSpace(string(own))
	}
	return nil
}
