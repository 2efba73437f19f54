package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"tigerflow.dev/tigerflow/controllers/dispatcher"
	"tigerflow.dev/tigerflow/internal/kube"
)

// nodeVariable has the name of the node in the environment.
const nodeVariable = dispatcher.NodeVariable

// flags are the command line as it was given.
type flags struct {
	kubeconfig, namespace, task, pipeline, listen string
	staging                                       string
	workerImage, pythonImage, pullPolicy          string
	uid, gid, groups                              string
	sameNode                                      bool
}

// settings are what a dispatcher needs to know, checked.
type settings struct {
	rest                     *rest.Config
	owner                    dispatcher.Owner
	listen                   string
	workerImage, pythonImage string
	pullPolicy               corev1.PullPolicy
	identity                 dispatcher.Identity
	staging                  string // a socket; "" where no function is to be called
	node                     string // where all workers are to run; "" is anywhere
}

// How much of the API server a dispatcher may have.
const requestsPerSecond, requestsAtOnce = 20, 40

// resolve checks the command line.
func (f *flags) resolve() (*settings, error) {
	s := &settings{
		listen: f.listen, staging: f.staging, workerImage: f.workerImage, pythonImage: f.pythonImage, pullPolicy: corev1.PullPolicy(f.pullPolicy),
	}
	switch {
	case f.namespace == "":
		return nil, errors.New("--namespace: give that of the Task or Pipeline")
	case (f.task == "") == (f.pipeline == ""):
		return nil, errors.New("give either --task or --pipeline")
	case !slices.Contains(kube.PullPolicies(), f.pullPolicy):
		return nil, fmt.Errorf("--image-pull-policy %q: give %s", f.pullPolicy, strings.Join(kube.PullPolicies(), ", "))
	case f.task != "":
		s.owner = dispatcher.Owner{Kind: dispatcher.KindTask, Namespace: f.namespace, Name: f.task}
	default:
		s.owner = dispatcher.Owner{Kind: dispatcher.KindPipeline, Namespace: f.namespace, Name: f.pipeline}
	}
	if s.node = os.Getenv(nodeVariable); !f.sameNode {
		s.node = ""
	} else if s.node == "" {
		return nil, fmt.Errorf("--same-node: %s does not name the node of this process", nodeVariable)
	}
	if err := f.identify(&s.identity); err != nil {
		return nil, err
	}
	var err error
	s.rest, err = kube.Connect(f.kubeconfig, program, requestsPerSecond, requestsAtOnce)
	return s, err
}

func (f *flags) identify(i *dispatcher.Identity) (err error) {
	if i.UID, err = dispatcher.ParseID(cmp.Or(f.uid, strconv.Itoa(os.Getuid()))); err != nil {
		return fmt.Errorf("--uid %w", err)
	}
	if i.GID, err = dispatcher.ParseID(cmp.Or(f.gid, strconv.Itoa(os.Getgid()))); err != nil {
		return fmt.Errorf("--gid %w", err)
	}
	if i.Groups, err = dispatcher.ParseGroups(f.groups); err != nil {
		return fmt.Errorf("--groups %w", err)
	}
	return nil
}
