package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"tigerflow.dev/tigerflow/controllers/task"
	"tigerflow.dev/tigerflow/internal/cli"
	"tigerflow.dev/tigerflow/internal/kube"
)

const program = "tigerflow-dispatcher"

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	root := kube.NewCommand(program, "Dispatch the files of one Task or Pipeline to workers in Pods", stdout, stderr)
	root.Long = root.Short + `.

The manager of the cluster starts it, in a Pod that sees the workspace. Workers outlive it: it can be ended and started at any time.`
	root.RunE = func(cmd *cobra.Command, _ []string) error { return start(cmd.Context(), &f) }
	flags := root.Flags()
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "how to reach the cluster (default: as a Pod in it, or $KUBECONFIG)")
	flags.StringVar(&f.namespace, "namespace", "", "where the Task or Pipeline is")
	flags.StringVar(&f.task, "task", "", "the Task to dispatch")
	flags.StringVar(&f.pipeline, "pipeline", "", "or the Pipeline all of whose Tasks to dispatch")
	flags.StringVar(&f.listen, "listen-address", ":8080", "serve /metrics, /healthz and /readyz there; 0 for none")
	flags.StringVar(&f.workerImage, "worker-image", kube.Image("worker"), "the image that workers are put into containers from")
	flags.StringVar(&f.pythonImage, "python-image", kube.Image("python"), "the image of workers whose Task names none")
	flags.StringVar(&f.pullPolicy, "image-pull-policy", "IfNotPresent", "of these images: IfNotPresent, Always or Never")
	flags.StringVar(&f.uid, "uid", "", "the user that workers run as (default: that of this process)")
	flags.StringVar(&f.gid, "gid", "", "their group (default: that of this process)")
	flags.StringVar(&f.groups, "groups", "", "their further groups, with commas")
	flags.BoolVar(&f.sameNode, "same-node", false, "have all workers run on the node of this process, named by "+nodeVariable)
	flags.StringVar(&f.staging, "staging-socket", "", "where tigerflow-worker stage listens, which runs the functions of staging")
	return root
}

func start(ctx context.Context, f *flags) error {
	s, err := f.resolve()
	if err != nil {
		return cli.UsageError{Err: err}
	}
	log := kube.Log(ctx)
	workers, err := newWorkers(s, log)
	if err != nil {
		return err
	}
	defer workers.Close()
	d := &server{settings: s, backend: task.Backend{Executor: workers, Containers: true, For: workers.For}, log: log}
	return d.run(ctx)
}
