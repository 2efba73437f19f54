package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

const followPeriod = 100 * time.Millisecond

type runOptions struct {
	file     string
	idle     time.Duration
	idleSet  bool
	takeOver bool
}

func newRun() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run FILE",
		Short: "Run the Tasks of a YAML file on this machine until all files are done",
		Long: `Run the Tasks of a YAML file on this machine until all files are done.

What is done stays done: running the same file again goes on where the last run ended, however it ended. The exit code is
0 if every file has its output, 1 if some failed, and 2 for a mistake in FILE or on the command line.`,
		Example: "  tigerflow run task.yaml",
		Args:    oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.file, o.idleSet = args[0], cmd.Flags().Changed("idle-timeout")
			return runFile(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), o)
		},
	}
	cmd.Flags().DurationVar(&o.idle, "idle-timeout", 0, "end when there was nothing to do for so long (default: completeAfterIdle of the Task, else at once)")
	cmd.Flags().BoolVar(&o.takeOver, "take-over", false, "do not wait for the lease of a dispatcher that has died on another host")
	return cmd
}

func oneFile(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%s takes one YAML file, and got %s", cmd.CommandPath(), plural(int64(len(args)), "argument", "arguments"))
	}
	return nil
}

// runFile runs the Tasks of a file from the start of the control plane to its end.
func runFile(ctx context.Context, stdout, stderr io.Writer, o runOptions) (err error) {
	if o.idle < 0 {
		return usageError{errors.New("--idle-timeout: give 0s or more")}
	}
	objects, err := readManifest(o.file)
	if err != nil {
		return err
	}
	for _, u := range objects {
		if err := forRun(u, o); err != nil {
			return usageError{fmt.Errorf("%s: %w", o.file, err)}
		}
	}
	p, err := startPlane(ctx)
	if err != nil {
		return err
	}
	grace := upGrace
	defer func() { err = errors.Join(err, p.stop(grace)) }()
	f := newFollower(p, stderr)
	for _, u := range objects {
		if err := create(ctx, p.client, u, o.file); err != nil {
			return err
		}
		f.add(client.ObjectKeyFromObject(u))
	}
	if err := p.begin(o.takeOver); err != nil {
		return err
	}
	err = f.follow(ctx)
	f.stop()
	if signal, ok := interrupted(ctx); ok {
		if signal.code == exitInterrupted { // a person waits, and can press again
			grace = drainGrace(objects)
			fmt.Fprintln(stderr, "Finishing the files in hand; press Ctrl-C again to stop at once.")
		}
		err = signal
	} else if f.drains() {
		grace = drainGrace(objects)
	} else if err != nil && f.fresh() == 0 { // the error says it all
		return err
	}
	summary, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return errors.Join(err, f.summarize(summary, stdout))
}

// forRun makes the object one that ends.
func forRun(u *unstructured.Unstructured, o runOptions) error {
	kind, _, _ := unstructured.NestedString(u.Object, "spec", "type") // the server says what is wrong with it
	if kind == string(v1alpha1.TaskSlurm) {
		return errors.New("spec.type Slurm: this tigerflow runs Tasks of type Local and LocalAsync")
	}
	_, given, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "completeAfterIdle")
	if given && !o.idleSet {
		return nil
	}
	return unstructured.SetNestedField(u.Object, o.idle.String(), "spec", "completeAfterIdle")
}

// drainGrace is the longest time that a Task gives its workers to finish.
func drainGrace(objects []*unstructured.Unstructured) time.Duration {
	var longest time.Duration
	for _, u := range objects {
		grace := v1alpha1.DefaultDrainTimeout
		if text, ok, _ := unstructured.NestedString(u.Object, "spec", "drainTimeout"); ok {
			if d, err := time.ParseDuration(text); err == nil {
				grace = d
			}
		}
		longest = max(longest, grace)
	}
	return longest
}

// verdict is what a Task's conditions mean for a run: nil while it goes on.
func verdict(t *v1alpha1.Task) (done bool, err error) {
	if meta.IsStatusConditionTrue(t.Status.Conditions, v1alpha1.ConditionComplete) {
		if n := t.Status.Files; n != nil && n.Failed > 0 {
			return true, fmt.Errorf("%s: %d of %d files failed", t.Name, n.Failed, n.Failed+n.Done)
		}
		return true, nil
	}
	stalled := meta.FindStatusCondition(t.Status.Conditions, v1alpha1.ConditionStalled)
	if stalled == nil || stalled.Status != metav1.ConditionTrue {
		return false, nil
	}
	err = fmt.Errorf("%s: %s: %s", t.Name, stalled.Reason, strings.TrimSpace(stalled.Message))
	switch v1alpha1.Reason(stalled.Reason) {
	case v1alpha1.ReasonStorageFull, v1alpha1.ReasonStorageError: // it goes on by itself when that is mended
		return false, nil
	case v1alpha1.ReasonSetupFailed, v1alpha1.ReasonTooManyFailures:
		return true, err
	default:
		return true, usageError{err}
	}
}
