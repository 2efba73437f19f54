package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/internal/cli"
	"tigerflow.dev/tigerflow/pipeline/config"
)

const (
	followPeriod = 100 * time.Millisecond
	followRest   = 5 * time.Second // while nothing changes
)

type runOptions struct {
	args        []string // FILE, or CONFIG INPUT_DIR OUTPUT_DIR
	idle        idleTime
	deleteInput bool
	background  bool
	dryRun      bool
	takeOver    bool
}

func newRun() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run {FILE | CONFIG INPUT_DIR OUTPUT_DIR}",
		Short: "Run Tasks, a Pipeline, or a TigerFlow config.yaml on this machine",
		Long: `Run the Tasks and Pipelines of a YAML file on this machine until all files are done, or a TigerFlow config.yaml until it had
nothing to do for ten minutes.

What is done stays done: running the same again goes on where the last run ended, however it ended. The exit code is 0 if
every file has its output, 1 if some failed, and 2 for a mistake in the file or on the command line.`,
		Example: "  tigerflow run pipeline.yaml\n  tigerflow run config.yaml path/to/data path/to/results --idle-timeout 30",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 && len(args) != 3 {
				return fmt.Errorf("%s takes FILE, or CONFIG INPUT_DIR OUTPUT_DIR, and got %s", cmd.CommandPath(), plural(int64(len(args)), "argument", "arguments"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.args = args
			return runFile(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), o)
		},
	}
	flags := cmd.Flags()
	flags.Var(&o.idle, "idle-timeout", "end when there was nothing to do for so long, in minutes or as a duration such as 30s (default: completeAfterIdle of the file, else at once; 10m for CONFIG)")
	flags.BoolVar(&o.deleteInput, "delete-input", false, "delete inputs that every task which reads them is done with; only with CONFIG")
	flags.BoolVarP(&o.background, "background", "b", false, "go on in the background, detached from the terminal")
	flags.BoolVar(&o.dryRun, "dry-run", false, "say what would be run, and run nothing")
	flags.BoolVar(&o.takeOver, "take-over", false, "do not wait for the lease of a dispatcher that has died on another host")
	return cmd
}

// idleTime is a duration that may be given as a number of minutes, as TigerFlow takes it.
type idleTime struct {
	time.Duration
	set bool
}

// Set reads the value of the flag.
func (i *idleTime) Set(text string) error {
	d, err := time.ParseDuration(text)
	if minutes, notNumber := strconv.ParseUint(text, 10, 16); notNumber == nil {
		d, err = time.Duration(minutes)*time.Minute, nil
	}
	if err != nil || d < 0 {
		return errors.New("give a number of minutes, or a duration such as 30s")
	}
	i.Duration, i.set = d, true
	return nil
}

// Type is what the help calls the value.
func (i *idleTime) Type() string { return "minutes" }

func (i *idleTime) String() string { return "" } // the help says what is the default

// runFile runs what a file asks for, from the start of the control plane to its end.
func runFile(ctx context.Context, stdout, stderr io.Writer, o runOptions) error {
	objects, err := readRun(stderr, o)
	switch {
	case err != nil:
		return err
	case o.dryRun:
		return dryRun(ctx, stdout, objects, o.args[0])
	case o.background:
		return runInBackground(ctx, stdout, stderr, objects)
	}
	return runObjects(ctx, stdout, stderr, objects, o)
}

// readRun is the objects that the arguments ask for.
func readRun(stderr io.Writer, o runOptions) ([]*unstructured.Unstructured, error) {
	file := o.args[0]
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, cli.UsageError{Err: err}
	}
	var objects []*unstructured.Unstructured
	switch is := config.Is(data); {
	case is && len(o.args) == 1:
		return nil, cli.UsageError{Err: fmt.Errorf("%s is a TigerFlow configuration: give its folders as well, tigerflow run %s INPUT_DIR OUTPUT_DIR", file, file)}
	case is:
		objects, err = readConfig(stderr, data, o)
	case len(o.args) == 3:
		if yaml.Unmarshal(data, new(any)) != nil || len(bytes.TrimSpace(data)) == 0 { // it may be one yet
			_, err := readConfig(stderr, data, o)
			return nil, err
		}
		return nil, cli.UsageError{Err: fmt.Errorf("%s is no TigerFlow configuration (tasks: at its top): leave out INPUT_DIR and OUTPUT_DIR, which its objects name themselves", file)}
	case o.deleteInput:
		return nil, cli.UsageError{Err: errors.New("--delete-input: a Pipeline has inputPolicy: Delete for that, a Task by itself keeps its inputs")}
	default:
		objects, err = readManifest(file)
	}
	if err != nil {
		return nil, err
	}
	for _, u := range objects {
		if err := checkSlurm(stderr, u, file); err != nil {
			return nil, err
		}
		if err := forRun(u, o.idle); err != nil {
			return nil, cli.UsageError{Err: fmt.Errorf("%s: %w", file, err)}
		}
	}
	return objects, nil
}

// readConfig makes a Pipeline of a TigerFlow configuration.
func readConfig(stderr io.Writer, data []byte, o runOptions) ([]*unstructured.Unstructured, error) {
	wd, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	idle := config.DefaultIdle
	if o.idle.set {
		idle = o.idle.Duration
	}
	p, warnings, err := readOptions(data, config.Options{
		File: o.args[0], InputDir: o.args[1], OutputDir: o.args[2], WorkDir: wd, Idle: idle, DeleteInput: o.deleteInput,
	})
	for _, warning := range warnings {
		fmt.Fprintln(stderr, "warning:", warning)
	}
	if err != nil {
		return nil, cli.UsageError{Err: err}
	}
	u, err := toUnstructured(p)
	if err != nil {
		return nil, err
	}
	return []*unstructured.Unstructured{u}, complete(u, o.args[0])
}

// runObjects has a control plane run the objects until they are through.
func runObjects(ctx context.Context, stdout, stderr io.Writer, objects []*unstructured.Unstructured, o runOptions) (err error) {
	ready := cli.Starter()
	ctx, stop := cli.WithHangup(ctx, &stdout, &stderr)
	defer stop()
	p, err := startPlane(ctx)
	if err != nil {
		return err
	}
	grace := upGrace
	defer func() { err = errors.Join(err, p.stop(grace)) }()
	f := newFollower(p, stderr)
	f.starter = ready
	for _, u := range objects {
		if err := create(ctx, p.client, u, o.args[0]); err != nil {
			return err
		}
		if err := f.add(u); err != nil {
			return err
		}
	}
	if err := p.begin(o.takeOver); err != nil {
		return err
	}
	err = f.follow(ctx)
	f.stop()
	if signal, ok := cli.Interrupted(ctx); ok {
		if signal.Code != cli.ExitTerminated { // a person waits, and can press again, or nobody does
			grace = drainGrace(objects)
			fmt.Fprintln(stderr, "Finishing the files in hand; press Ctrl-C again to stop at once.")
		}
		err = signal
	} else if f.drains() {
		grace = drainGrace(objects)
	} else if err != nil && f.fresh() == 0 { // the error says it all
		return err
	}
	summary, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	return errors.Join(err, f.summarize(summary, stdout))
}

// forRun makes the object one that ends.
func forRun(u *unstructured.Unstructured, idle idleTime) error {
	_, given, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "completeAfterIdle")
	if given && !idle.set {
		return nil
	}
	return unstructured.SetNestedField(u.Object, idle.Duration.String(), "spec", "completeAfterIdle")
}

// drainGrace is the longest time that a Task gives its workers to finish.
func drainGrace(objects []*unstructured.Unstructured) time.Duration {
	var longest time.Duration
	for _, u := range objects {
		for _, spec := range taskSpecs(u) {
			grace := v1alpha1.DefaultDrainTimeout
			if text, ok, _ := unstructured.NestedString(spec, "drainTimeout"); ok {
				if d, err := time.ParseDuration(text); err == nil {
					grace = d
				}
			}
			longest = max(longest, grace)
		}
	}
	return longest
}
