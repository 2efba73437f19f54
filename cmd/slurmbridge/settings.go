package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"tigerflow.dev/tigerflow/internal/version"
)

// flags are the command line as it was given.
type flags struct {
	kubeconfig, namespace, name, limits, metrics string
	trees                                        []string
	background, takeOver                         bool
}

// settings are what a bridge needs to know, checked.
type settings struct {
	name, namespace string
	rest            *rest.Config
	limits          *limits
	trees           trees
	metrics         string // an address, or "0" for none
	takeOver        bool
	state           string // the folder for what is to last
}

// plane is what spools are told of this bridge. It tells it from all others of its user.
func (s *settings) plane() string { return "bridge " + s.name + " at " + s.rest.Host }

// file is a path for what this bridge keeps.
func (s *settings) file(extension string) string {
	return bridgeFile(s.state, s.rest.Host, s.namespace, s.name, extension)
}

// namePattern is that of spec.slurm.bridge.
var namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,44}[a-z0-9])?$`)

// resolve checks the command line and reads the files that it names.
func (f *flags) resolve() (*settings, error) {
	if !namePattern.MatchString(f.name) {
		return nil, fmt.Errorf("--name %q: give at most 46 lower-case letters, digits and inner hyphens, as in spec.slurm.bridge", f.name)
	}
	s := &settings{name: f.name, takeOver: f.takeOver}
	var err error
	if s.metrics, err = metricsAddress(f.metrics); err != nil {
		return nil, err
	}
	if s.limits, err = readLimits(f.limits); err != nil {
		return nil, fmt.Errorf("--limits: %w", err)
	}
	if s.trees, err = readTrees(f.trees); err != nil {
		return nil, err
	}
	if s.state, err = stateDir(); err != nil {
		return nil, err
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{})
	if s.rest, err = loader.ClientConfig(); err != nil {
		return nil, kubeconfigError(err)
	}
	s.rest.QPS, s.rest.Burst, s.rest.UserAgent = 20, 40, "slurmbridge/"+version.Get().Version
	s.rest.ContentType = runtime.ContentTypeJSON // Tasks have no protobuf, and there is little else
	if s.namespace = f.namespace; s.namespace == "" {
		if s.namespace, _, err = loader.Namespace(); err != nil {
			return nil, kubeconfigError(err)
		}
	}
	return s, s.checkToken()
}

func kubeconfigError(err error) error {
	if clientcmd.IsEmptyConfig(err) {
		return errors.New("there is no kubeconfig: give one with --kubeconfig or KUBECONFIG; docs/slurm.md tells how to make it")
	}
	return fmt.Errorf("kubeconfig: %w", err)
}

// checkToken refuses a token that other users may read.
func (s *settings) checkToken() error {
	if s.rest.BearerTokenFile == "" {
		return nil
	}
	info, err := os.Stat(s.rest.BearerTokenFile)
	if err != nil {
		return fmt.Errorf("kubeconfig: tokenFile: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("kubeconfig: tokenFile: %s is open to other users (mode %#o): run chmod 600 on it, and make a new token if it was so for long",
			s.rest.BearerTokenFile, info.Mode().Perm())
	}
	return nil
}

// metricsAddress refuses what other hosts could reach: nothing asks who they are.
func metricsAddress(address string) (string, error) {
	if address == "" {
		return "0", nil
	}
	at, err := netip.ParseAddrPort(strings.Replace(address, "localhost:", "127.0.0.1:", 1))
	if err != nil {
		return "", fmt.Errorf("--metrics-address %q: give 127.0.0.1:PORT or [::1]:PORT", address)
	}
	if !at.Addr().IsLoopback() {
		return "", fmt.Errorf("--metrics-address %q can be reached from other hosts: give 127.0.0.1:PORT or [::1]:PORT, and have an agent of this host read it there", address)
	}
	return at.String(), nil
}
