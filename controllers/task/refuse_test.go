package task

import (
	"os"
	"strings"
	"testing"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/spool"
)

// refused is what all conditions are when a person must act.
func refused(reason v1alpha1.Reason) string {
	return strings.ReplaceAll("Ready=False/X Complete=False/X Stalled=True/X Degraded=False/AsExpected", "X", string(reason))
}

// A Task that cannot be worked on says why in one line, and goes on by itself when that is mended.
func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		name, spec string
		prepare    func(h *harness)
		want       string
		message    string // with $DIR for the workspace; must be in it
		mend       func(h *harness)
	}{
		{
			name: "input not there", spec: `{handler: {builtin: echo}}`, want: refused(v1alpha1.ReasonInputNotFound),
			message: "the input directory $DIR/in does not exist: create it, or correct workspace.path and input.directory",
			mend:    func(h *harness) { h.put("a.txt") },
		},
		{
			name: "input is a file", spec: `{handler: {builtin: echo}}`, want: refused(v1alpha1.ReasonInputNotFound),
			prepare: func(h *harness) { h.must(os.WriteFile(h.path("in"), nil, 0o666)) },
			message: "the input directory $DIR/in is a file: name its folder in input.directory",
			mend:    func(h *harness) { h.must(os.Remove(h.path("in"))); h.put("a.txt") },
		},
		{
			name: "output is a file", spec: `{handler: {builtin: echo}}`, want: refused(v1alpha1.ReasonOutputNotWritable),
			prepare: func(h *harness) { h.put("a.txt"); h.must(os.WriteFile(h.path("out"), nil, 0o666)) },
			message: "making the output directory: mkdir $DIR/out: not a directory: choose another output.directory or the rights to write there",
			mend:    func(h *harness) { h.must(os.Remove(h.path("out"))) },
		},
		{
			name: "one folder by two names", spec: `{handler: {builtin: echo}}`, want: refused(v1alpha1.ReasonInvalidDirectories),
			prepare: func(h *harness) { h.put("a.txt"); h.must(os.Symlink("in", h.path("out"))) },
			message: "input and output are the same folder, $DIR/in, and outputs (.txt) would be taken for inputs (.txt): use another output.directory or extension",
			mend:    func(h *harness) { h.must(os.Remove(h.path("out"))) },
		},
		{
			name: "records of an unknown format", spec: `{handler: {builtin: echo}}`, want: refused(v1alpha1.ReasonSpoolIncompatible),
			prepare: func(h *harness) {
				h.put("a.txt")
				h.must(os.MkdirAll(spool.Dir(h.path("out"), "t"), 0o777))
				h.must(os.WriteFile(h.path("out", ".tigerflow", "tasks", "t", "spool.json"), []byte(`{"format": 99}`), 0o666))
			},
			message: "99",
			mend:    func(h *harness) { h.must(os.Rename(h.path("out"), h.path("old"))) }, // at once: it is looked at all the time
		},
		{
			name: "image", spec: `{handler: {builtin: echo}, container: {image: x.sif}}`, want: refused(v1alpha1.ReasonInvalidHandler),
			prepare: func(h *harness) { h.put("a.txt") },
			message: "spec.container.image: Local workers here are plain processes: remove it, or apply the Task to a cluster",
			mend:    func(h *harness) { h.patch("{container: null}") },
		},
		{
			name: "no such command", spec: `{handler: {command: [no-such-command]}}`, want: refused(v1alpha1.ReasonHandlerNotFound),
			prepare: func(h *harness) { h.put("a.txt") },
			message: `command "no-such-command": not found in PATH: install it, load it in setupCommands, or correct handler.command`,
			mend:    func(h *harness) { h.patch("{handler: {command: [cp, '{input}', '{output}']}}") },
		},
		{
			name: "no such builtin", spec: `{handler: {builtin: nope}}`, want: refused(v1alpha1.ReasonInvalidHandler),
			prepare: func(h *harness) { h.put("a.txt") },
			message: `unknown builtin "nope": known are echo`,
			mend:    func(h *harness) { h.patch("{handler: {builtin: echo}}") },
		},
		{
			name: "unknown param", spec: `{handler: {builtin: echo}, params: {frob: 1}}`, want: refused(v1alpha1.ReasonInvalidParams),
			prepare: func(h *harness) { h.put("a.txt") },
			message: `unknown param "frob": known are prefix, suffix, uppercase`,
			mend:    func(h *harness) { h.patch("{params: null}") },
		},
		{
			name: "failing setup command", spec: `{handler: {builtin: echo}, setupCommands: ["printf 'no such %s' module >&2; false"]}`,
			want:    strings.Replace(refused(v1alpha1.ReasonSetupFailed), "Degraded=False/AsExpected", "Degraded=True/WorkersCrashing", 1),
			prepare: func(h *harness) { h.put("a.txt") },
			message: "setup command `printf 'no such %s' module >&2; false`: exit status 1: no such module",
			mend:    func(h *harness) { h.patch("{setupCommands: null}") },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := start(t, options{})
			if tt.prepare != nil {
				tt.prepare(h)
			}
			h.create(tt.spec)
			task := h.state(tt.want)
			want := strings.ReplaceAll(tt.message, "$DIR", h.dir)
			got := messageOf(task, v1alpha1.ConditionStalled)
			if !strings.Contains(got, want) || strings.Contains(got, "\n") {
				t.Errorf("message %q, want one line with %q", got, want)
			}
			tt.mend(h)
			h.state(idle)
			h.counts(files(0, 0, 1, 0))
			h.output("a.txt", "a.txt")
		})
	}
}

func TestNobodyRunsTheType(t *testing.T) {
	h := start(t, options{})
	h.put("a.txt")
	h.create(`{type: Slurm, slurm: {time: 1h}, handler: {builtin: echo}}`)
	task := h.state("Ready=False/ExecutorUnavailable Complete=False/ExecutorUnavailable Stalled=False/AsExpected Degraded=True/ExecutorUnavailable")
	if got, want := messageOf(task, v1alpha1.ConditionReady), "nothing here runs Tasks of type Slurm"; got != want {
		t.Errorf("message %q, want %q", got, want)
	}
	if len(task.Finalizers) > 0 {
		t.Errorf("finalizers %q: nobody would take them off", task.Finalizers)
	}
}

func TestOutputInUse(t *testing.T) {
	h := start(t, options{})
	h.put("a.txt")
	s, err := spool.Create(spool.Dir(h.path("out"), "t"), spool.Owner{Plane: "other"}, spool.Spec{
		Task: "t", Type: spool.TypeLocal, InputDir: spool.Name(h.path("in")), InputExt: ".txt", OutputDir: spool.Name(h.path("out")), OutputExt: ".txt",
	})
	h.must(err)
	lock, err := (&spool.Contender{Spool: s, Owner: spool.Owner{Plane: "other", Namespace: "ns", Name: "theirs"}}).Try()
	h.must(err)
	h.create(`{handler: {builtin: echo}}`)
	task := h.state(refused(v1alpha1.ReasonOutputInUse))
	want := "output.directory is in use by " + spool.Self().String() + " for ns/theirs of other: end that one first, or choose another directory"
	if got := messageOf(task, v1alpha1.ConditionStalled); !strings.HasPrefix(got, want) {
		t.Errorf("message %q, want %q", got, want)
	}
	h.caughtUp()
	before := len(h.written())
	h.pokes(5)
	if after := len(h.written()); after != before {
		t.Errorf("%d writes of a status that says the same", after-before)
	}
	h.must(lock.Close())
	h.state(idle)
	h.output("a.txt", "a.txt")
}
