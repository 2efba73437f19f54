package kube

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"go.uber.org/zap/zapcore"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"tigerflow.dev/tigerflow/internal/cli"
	"tigerflow.dev/tigerflow/internal/version"
)

// NewCommand is the root command of a program that runs in a Pod.
func NewCommand(program, short string, stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use: program, Short: short, Version: version.Get().Version, SilenceUsage: true, SilenceErrors: true, Args: cli.NoArgs,
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.PersistentFlags().BoolP("verbose", "v", false, "log more of what is being done")
	root.AddCommand(cli.NewVersion(program))
	return root
}

// Execute runs what args name of such a command, with a logger for a cluster's collector in its context.
func Execute(ctx context.Context, root *cobra.Command, args []string) error {
	return cli.Execute(ctx, root, args, func(cmd *cobra.Command) error {
		least := zapcore.InfoLevel
		verbose, err := cmd.Flags().GetBool("verbose")
		if verbose {
			least = zapcore.DebugLevel
		}
		cmd.SetContext(logr.NewContext(cmd.Context(), cli.NewStructuredLogger(cmd.ErrOrStderr(), least)))
		return err
	})
}

// Log is the logger of ctx. What libraries log goes there as well from now on.
func Log(ctx context.Context) logr.Logger {
	log := logr.FromContextOrDiscard(ctx)
	klog.SetLogger(log)
	ctrl.SetLogger(log)
	return log
}

// Connect finds out how a program reaches the cluster: by a kubeconfig ("" is $KUBECONFIG), or as a Pod in it. It may ask so often
// each second, and so often at once.
func Connect(kubeconfig, program string, perSecond float32, atOnce int) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{}).ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, errors.New("this is no Pod, and there is no kubeconfig: give one with --kubeconfig or KUBECONFIG")
	}
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	config.QPS, config.Burst, config.UserAgent = perSecond, atOnce, program+"/"+version.Get().Version
	return config, nil
}
