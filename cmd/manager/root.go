package main

import (
	"io"

	"github.com/spf13/cobra"

	"tigerflow.dev/tigerflow/internal/cli"
	"tigerflow.dev/tigerflow/internal/kube"
)

const program = "tigerflow-manager"

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	root := kube.NewCommand(program, "Look after the Tasks and Pipelines of a Kubernetes cluster", stdout, stderr)
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := f.resolve()
		if err != nil {
			return cli.UsageError{Err: err}
		}
		return s.run(cmd.Context(), kube.Log(cmd.Context()))
	}
	f.register(root)
	root.AddCommand(newUninstall(&f))
	return root
}

func (f *flags) register(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "how to reach the cluster (default: as a Pod in it, or $KUBECONFIG)")
	flags.StringVar(&f.namespace, "namespace", "", "look after this namespace only (default: all)")
	flags.BoolVar(&f.elect, "leader-elect", true, "wait until no other manager of the same Lease works")
	flags.StringVar(&f.electIn, "leader-election-namespace", "", "where the Lease is (default: the manager's own namespace)")
	flags.StringVar(&f.metrics, "metrics-address", ":8443", "serve /metrics there by https to whom the cluster allows it; 0 for none")
	flags.StringVar(&f.certificates, "metrics-cert-dir", "", "a folder with tls.crt and tls.key for /metrics (default: a certificate of its own)")
	flags.StringVar(&f.health, "health-address", ":8081", "serve /healthz and /readyz there; 0 for none")
	flags.StringVar(&f.dispatcherImage, "dispatcher-image", kube.Image("dispatcher"), "the image of dispatchers")
	flags.StringVar(&f.workerImage, "worker-image", kube.Image("worker"), "the image that workers are put into containers from")
	flags.StringVar(&f.pythonImage, "python-image", kube.Image("python"), "the image of workers whose Task names none")
	flags.StringVar(&f.pullPolicy, "image-pull-policy", "IfNotPresent", "of these images: IfNotPresent, Always or Never")
	flags.StringVar(&f.requests, "dispatcher-requests", "cpu=20m,memory=64Mi", "what a dispatcher's container asks for")
	flags.StringVar(&f.limits, "dispatcher-limits", "memory=1Gi", "the most that it gets")
	flags.StringVar(&f.uid, "uid", "65532", "the user that Pods run as where the Namespace has no annotation tigerflow.dev/uid")
	flags.StringVar(&f.gid, "gid", "65532", "their group where it has no annotation tigerflow.dev/gid")
	flags.StringVar(&f.groups, "groups", "", "their further groups, with commas, where it has no annotation tigerflow.dev/groups")
}
