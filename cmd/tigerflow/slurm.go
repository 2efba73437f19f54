package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/executor/workerbin"
	"tigerflow.dev/tigerflow/internal/cli"
	"tigerflow.dev/tigerflow/slurmbridge"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/standalone"
)

var errNoSlurm = errors.New("there is no Slurm here (no sbatch on the PATH): run it where Slurm is, or use type Local or LocalAsync")

// newSlurm makes the executor of Slurm Tasks. Their jobs get the environment of who runs this process.
func newSlurm(log logr.Logger) (*slurmbridge.Executor, error) {
	return slurmbridge.New(slurmbridge.Config{
		Install: workerbin.Install, Env: slurmbridge.Environment(os.Environ()), Log: cli.Slog(log),
	})
}

// checkSlurm refuses what of an object's Slurm Tasks nothing here can run. What else is wrong the server says.
func checkSlurm(stderr io.Writer, u *unstructured.Unstructured, file string) error {
	for path, spec := range taskSpecs(u) {
		if kind, _, _ := unstructured.NestedString(spec, "type"); kind != string(v1alpha1.TaskSlurm) {
			continue
		}
		if !slurmbridge.Available() {
			return cli.UsageError{Err: fmt.Errorf("%s: %s.type Slurm: %w", file, path, errNoSlurm)}
		}
		options, _, _ := unstructured.NestedStringSlice(spec, "slurm", "sbatchOptions")
		if err := checkSbatch(stderr, fmt.Sprintf("%s: %s.slurm.sbatchOptions", file, path), options); err != nil {
			return err
		}
	}
	return nil
}

// checkSbatch refuses options that no worker can have, and warns of those that a daemon for many would not take.
func checkSbatch(stderr io.Writer, where string, options []string) error {
	dangerous, err := slurmbridge.CheckOptions(options)
	if err != nil {
		return cli.UsageError{Err: fmt.Errorf("%s: %w", where, err)}
	}
	if len(dangerous) > 0 {
		fmt.Fprintf(stderr, "warning: %s: --%s reaches beyond the job: be sure that you mean it\n", where, strings.Join(dangerous, ", --"))
	}
	return nil
}

// clusterOf is how a lone task gets to the cluster; nil if it has no need of one, or there is none.
func clusterOf(s *standalone.Spec, stderr io.Writer, log logr.Logger) (func() (standalone.Cluster, error), error) {
	if s.Type != spool.TypeSlurm || s.Slurm == nil || !slurmbridge.Available() {
		return nil, nil
	}
	if err := checkSbatch(stderr, "--sbatch-option", s.Slurm.SbatchOptions); err != nil {
		return nil, err
	}
	return func() (standalone.Cluster, error) { return newSlurm(log) }, nil
}
