// Command manager measures what the manager of a cluster costs with 2,000 Tasks: hack/kubernetes/bench.sh runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"tigerflow.dev/tigerflow/internal/kube"
	"tigerflow.dev/tigerflow/internal/kube/kubetest"
)

// bench is a cluster with many Tasks, and its manager.
type bench struct {
	client  client.Client
	cluster *kubetest.Cluster
	dir     string // for kubeconfigs and logs
	token   string // of who may read the metrics
	manager *exec.Cmd
}

const (
	idleFor = 30 * time.Second
	loadFor = 40 * time.Second
	round   = 10 * time.Second // in which a dispatcher writes its counters once
)

func main() {
	klog.SetLogger(logr.Discard())
	ctrl.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	manager := flag.String("manager", "", "the program")
	kwok := flag.String("kwok", "", "the program that plays kubelets")
	stages := flag.String("stages", "", "what it makes of Pods")
	flag.Parse()
	b := &bench{}
	if b.dir, err = os.MkdirTemp("", "tigerflow-bench-manager-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if b.cluster, err = kubetest.Start(ctx, "."); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.cluster.Stop()) }()
	if b.client, err = client.New(b.cluster.Config, client.Options{Scheme: kube.Scheme(corev1.AddToScheme, rbacv1.AddToScheme)}); err != nil {
		return err
	}
	if err := b.fill(ctx); err != nil {
		return fmt.Errorf("making the Tasks: %w", err)
	}
	kubelets, err := b.start(ctx, *kwok, b.cluster.Config, "--manage-all-nodes", "--config="+*stages)
	if err != nil {
		return err
	}
	defer end(kubelets)
	config, err := b.cluster.Account(ctx, kubetest.SystemNamespace, "tigerflow-manager")
	if err != nil {
		return err
	}
	begun := time.Now()
	if b.manager, err = b.start(ctx, *manager, config, "--leader-elect=false", "--metrics-address="+metrics, "--health-address=0"); err != nil {
		return err
	}
	defer end(b.manager)
	return b.measure(ctx, os.Stdout, begun)
}

// measure prints a line for each goal.
func (b *bench) measure(ctx context.Context, out io.Writer, begun time.Time) error {
	if err := b.settle(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d Tasks settle after                 %6.1f s      goal 60\n", lone+grouped, time.Since(begun).Seconds())
	used, err := b.processorTime()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "processor time until then              %6.1f s\n", used.Seconds())
	now, err := b.during(ctx, idleFor, func(context.Context) error { return nil })
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "processor when idle                    %6.2f %%      goal 1\n", 100*now.Seconds()/idleFor.Seconds())
	before, err := b.patches(ctx)
	if err != nil {
		return err
	}
	played := 0
	now, err = b.during(ctx, loadFor, func(ctx context.Context) error { return b.play(ctx, &played) })
	if err != nil {
		return err
	}
	after, err := b.patches(ctx)
	if err != nil {
		return err
	}
	rounds := loadFor.Seconds() / round.Seconds()
	fmt.Fprintf(out, "status writes of dispatchers           %6.2f per Task in 10 s\n", float64(played)/(lone+grouped)/rounds)
	fmt.Fprintf(out, "status writes of the manager           %6.2f per Task in 10 s, goal 1\n", (after-before)/(lone+grouped)/rounds)
	fmt.Fprintf(out, "processor meanwhile                    %6.1f %%\n", 100*now.Seconds()/loadFor.Seconds())
	peak, err := b.peak()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "memory, at most (RSS)                  %6d MB     goal 200\n", peak>>20)
	return nil
}

// during is the processor time that the manager uses while something is done, and for as long as it is to last.
func (b *bench) during(ctx context.Context, d time.Duration, do func(context.Context) error) (time.Duration, error) {
	before, err := b.processorTime()
	if err != nil {
		return 0, err
	}
	over, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	if err := do(over); err != nil {
		return 0, err
	}
	<-over.Done()
	after, err := b.processorTime()
	return after - before, errors.Join(err, ctx.Err())
}

// start starts a program with a kubeconfig of its own.
func (b *bench) start(ctx context.Context, program string, config *rest.Config, args ...string) (*exec.Cmd, error) {
	path := filepath.Join(b.dir, filepath.Base(program)+".kubeconfig")
	if err := writeKubeconfig(path, config); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program, append(args, "--kubeconfig="+path)...)
	log, err := os.Create(filepath.Join(b.dir, filepath.Base(program)+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stderr = log
	return cmd, cmd.Start()
}

func end(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}
