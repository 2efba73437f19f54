package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"go.uber.org/zap/zapcore"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/executor/workerbin"
	"tigerflow.dev/tigerflow/internal/cli"
	"tigerflow.dev/tigerflow/internal/version"
	"tigerflow.dev/tigerflow/slurmbridge"
)

func execute(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	return cli.Execute(ctx, newRoot(stdout, stderr), args, func(cmd *cobra.Command) error {
		least := zapcore.InfoLevel
		verbose, err := cmd.Flags().GetBool("verbose")
		if verbose {
			least = zapcore.DebugLevel
		}
		cmd.SetContext(logr.NewContext(cmd.Context(), cli.NewLogger(stderr, least)))
		return err
	})
}

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	root := &cobra.Command{
		Use:   "slurmbridge",
		Short: "Run the Slurm Tasks of one namespace of a Kubernetes cluster, from a login node",
		Long: `Run the Slurm Tasks of one namespace of a Kubernetes cluster whose spec.slurm.bridge is the name of this bridge.

It runs on a login node of a Slurm cluster as the user whose jobs they are to be, and makes outbound connections only. Whoever
may create Tasks in the namespace runs code as that user. Workers outlive the bridge: it can be ended and started at any time.`,
		Example: "  slurmbridge --kubeconfig ~/.config/tigerflow/bridge.kubeconfig --limits ~/.config/tigerflow/limits.yaml --background",
		Version: version.Get().Version, SilenceUsage: true, SilenceErrors: true,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return start(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), &f)
		},
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.PersistentFlags().BoolP("verbose", "v", false, "log more of what is being done")
	flags := root.Flags()
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "how to reach the cluster (default: $KUBECONFIG, or ~/.kube/config)")
	flags.StringVar(&f.namespace, "namespace", "", "whose Tasks to run (default: that of the kubeconfig's context)")
	flags.StringVar(&f.name, "name", v1alpha1.DefaultBridge, "the name that Tasks have in spec.slurm.bridge")
	flags.StringVar(&f.limits, "limits", "", "a YAML file with what Tasks may ask for; docs/slurm.md explains it")
	flags.StringArrayVar(&f.trees, "map-path", nil, "where this host and the compute nodes have a tree that pods have elsewhere: `CLUSTER_PATH=LOCAL_PATH`; may be given several times")
	flags.StringVar(&f.metrics, "metrics-address", "", "serve /metrics, /healthz and /readyz there, such as 127.0.0.1:9464")
	flags.BoolVarP(&f.background, "background", "b", false, "go on in the background, detached from the terminal")
	flags.BoolVar(&f.takeOver, "take-over", false, "take the Lease and the spools of a bridge that has died on another host")
	root.AddCommand(cli.NewVersion("slurmbridge"))
	return root
}

// start runs the bridge, here or in the background.
func start(ctx context.Context, stdout, stderr io.Writer, f *flags) error {
	s, err := f.resolve()
	if err != nil {
		return cli.UsageError{Err: err}
	}
	if f.background {
		return detach(ctx, stdout, stderr, s)
	}
	waiting := cli.Starter()
	if os.Geteuid() == 0 {
		return cli.UsageError{Err: errors.New("jobs belong to the user who runs the bridge, and that is root: run it as the user whose jobs they are to be")}
	}
	log := logr.FromContextOrDiscard(ctx)
	klog.SetLogger(log.V(1)) // what is not an error is for --verbose
	ctrl.SetLogger(log.V(1))
	m := newMeters()
	e, err := slurmbridge.New(slurmbridge.Config{Install: workerbin.Install, Env: loginEnvironment(os.Environ()), Observe: m.observe, Log: cli.Slog(log)})
	if err != nil {
		return err
	}
	defer e.Close()
	b := &bridge{settings: s, executor: e, meters: m, log: log, ready: func() {
		log.Info("the bridge runs", "name", s.name, "namespace", s.namespace, "server", s.rest.Host)
		cli.TellReady(waiting)
	}}
	if err := b.run(ctx); err != nil {
		return err
	}
	log.Info("the bridge has ended; workers go on")
	return nil // also after a signal, which is how a service is ended
}

// detach starts this command line again, in the background.
func detach(ctx context.Context, stdout, stderr io.Writer, s *settings) error {
	path := s.file(".log")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	pid, err := cli.Detach(ctx, stderr, log)
	if err != nil || pid == 0 {
		return err
	}
	_, err = fmt.Fprintf(stdout, "Started (pid %d). Its messages go to %s.\nTo end it: kill %d; workers go on\n", pid, path, pid)
	return err
}
