package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

func TestLimitsFile(t *testing.T) {
	for text, want := range map[string]string{
		"": "",
		"roots: [/scratch/me/, /project]\nimages: []\nmaxWorkers: 3\nmaxWorkersInAll: 9\npartitions: [gpu]\naccounts: [lab]\nsbatchOptions: [--constraint]\n": "",
		"root: [/x]":                `unknown field "root"`,
		"roots: [/x]\nroots: [/y]":  `unmarshal errors: line 2: key "roots" already set in map`,
		"roots: [x]":                `roots: "x": give an absolute path`,
		"roots:":                    "roots has no value: write [] to allow nothing, or leave it out to limit nothing",
		"images: ['[']":             `images: "[": give a pattern such as /project/images/*.sif`,
		"maxWorkers: 0":             "maxWorkers: 0: give 1 or more",
		"maxWorkers: many":          "cannot unmarshal string into maxWorkers of type int32",
		"maxWorkersInAll: -1":       "maxWorkersInAll: -1: give 1 or more",
		"sbatchOptions: [mem=3]":    `sbatchOptions: "mem=3": give the long name of an option alone, such as --constraint`,
		"sbatchOptions: [--nice=3]": `sbatchOptions: "--nice=3": give the long name of an option alone, such as --constraint`,
		"just text":                 "cannot unmarshal",
		"roots: [/x":                "line 1: did not find expected ',' or ']'",
	} {
		err := new(limits).parse([]byte(text))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzLimitsFile(f *testing.F) {
	f.Add("roots: [/x]\nmaxWorkers: 1")
	f.Fuzz(func(t *testing.T, text string) {
		l := &limits{}
		if err := l.parse([]byte(text)); err == nil && l.check() != nil {
			t.Errorf("%q was taken and is wrong", text)
		}
	})
}

func TestAdmit(t *testing.T) {
	dir := t.TempDir()
	allowed, other := filepath.Join(dir, "allowed"), filepath.Join(dir, "other")
	for _, d := range []string{allowed, other} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(other, filepath.Join(allowed, "out-of-it")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(allowed, "dangling")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, limits, spec, want string }{
		{name: "no limits", spec: "{workspace: {path: /}, slurm: {partition: x, sbatchOptions: [--nice=3]}}"},
		{
			name: "all kept", limits: "{roots: [$A], images: [$A/*.sif], maxWorkers: 3, partitions: [gpu, cpu], accounts: [lab], sbatchOptions: [--nice]}",
			spec: "{workspace: {path: $A}, container: {image: x.sif}, scaling: {maxWorkers: 3}, slurm: {partition: 'cpu,gpu', account: lab, sbatchOptions: [--nice=3]}}",
		},
		{name: "workspace", limits: "{roots: [$A, /x]}", spec: "{workspace: {path: $B}}", want: "spec.workspace.path: $B is not below $A or /x: apply the Task anew with a path there"},
		{name: "a neighbor's name", limits: "{roots: [$A]}", spec: "{workspace: {path: $Aish}}", want: "spec.workspace.path: $Aish is not below $A"},
		{name: "input", limits: "{roots: [$A]}", spec: "{workspace: {path: $A}, input: {directory: $B/in}}", want: "spec.input.directory: $B/in is not"},
		{name: "output", limits: "{roots: [$A]}", spec: "{workspace: {path: $A}, output: {directory: $B}}", want: "spec.output.directory: $B is not"},
		{name: "pipeline", limits: "{roots: [$A]}", spec: "{workspace: {path: $A}, pipeline: {directory: $B}}", want: "spec.pipeline.directory: $B is not"},
		{name: "a link", limits: "{roots: [$A]}", spec: "{workspace: {path: $A}, output: {directory: out-of-it/new/folder}}", want: "spec.output.directory: $A/out-of-it/new/folder is not"},
		{name: "a dangling link", limits: "{roots: [$A]}", spec: "{workspace: {path: $A}, output: {directory: dangling/x}}", want: "spec.output.directory"},
		{name: "a root that is a link", limits: "{roots: [$A/out-of-it]}", spec: "{workspace: {path: $B}}"},
		{name: "no images", limits: "{images: []}", spec: "{workspace: {path: $A}, container: {image: x.sif}}", want: "spec.container.image: $A/x.sif: this bridge allows no images: remove it"},
		{name: "no image", limits: "{images: []}", spec: "{workspace: {path: $A}}"},
		{name: "deeper image", limits: "{images: [/i/*]}", spec: "{container: {image: /i/x/y.sif}}", want: "spec.container.image: /i/x/y.sif is not allowed by this bridge: choose one of /i/*"},
		{name: "workers", limits: "{maxWorkers: 3}", spec: "{scaling: {maxWorkers: 4}}", want: "spec.scaling.maxWorkers: 4, and this bridge allows a Task 3: lower it"},
		{name: "partition", limits: "{partitions: [cpu, gpu]}", spec: "{slurm: {partition: 'gpu,big'}}", want: `spec.slurm.partition: "gpu,big" is not allowed by this bridge: write cpu or gpu`},
		{name: "the default partition", limits: "{partitions: [cpu]}", spec: "{slurm: {}}", want: `spec.slurm.partition: "" is not allowed by this bridge: write cpu`},
		{name: "account", limits: "{accounts: [lab]}", spec: "{slurm: {account: x}}", want: `spec.slurm.account: "x" is not`},
		{name: "option", limits: "{sbatchOptions: [--nice]}", spec: "{slurm: {sbatchOptions: [--nice=3, -C x]}}", want: "spec.slurm.sbatchOptions: --constraint is not allowed by this bridge, which has --nice: remove it"},
		{name: "two in one", limits: "{sbatchOptions: [--nice]}", spec: "{slurm: {sbatchOptions: ['--nice=3 --begin=now']}}", want: "spec.slurm.sbatchOptions: --begin is not"},
		{name: "partition as an option", limits: "{partitions: [cpu]}", spec: "{slurm: {partition: cpu, sbatchOptions: [-pgpu]}}", want: "spec.slurm.sbatchOptions: --partition: name it in spec.slurm.partition, which this bridge limits"},
		{name: "another user", spec: "{slurm: {sbatchOptions: [--uid=root]}}", want: "spec.slurm.sbatchOptions: --uid is never allowed by a bridge: remove it"},
	} {
		paths := strings.NewReplacer("$A", allowed, "$B", other)
		l, task := &limits{}, &v1alpha1.Task{}
		if err := l.parse([]byte(paths.Replace(tt.limits))); err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict([]byte(paths.Replace(tt.spec)), &task.Spec); err != nil {
			t.Fatal(err)
		}
		if err := l.admit(task); tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), paths.Replace(tt.want))) {
			t.Errorf("%s: %v\nwant %q", tt.name, err, paths.Replace(tt.want))
		}
	}
}
