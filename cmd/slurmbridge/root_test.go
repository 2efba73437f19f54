package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestLoginEnvironment(t *testing.T) {
	got := loginEnvironment([]string{"HOME=/home/me", "KUBECONFIG=/k", "SBATCH_PARTITION=x", "LC_ALL=C", "SLURM_CONF=/s", "LCX=1", "LD_PRELOAD=x"})
	if want := []string{"HOME=/home/me", "LC_ALL=C", "SLURM_CONF=/s"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What is wrong on the command line, or in a file that it names, is told in one line before anything is asked of the cluster.
func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("KUBECONFIG", "")
	t.Setenv("XDG_STATE_HOME", "")
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	limits := file("limits.yaml", "maxWorker: 3\n", 0o600)
	token := file("token", "x", 0o644)
	kubeconfig := file("kubeconfig", `{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}],
		users: [{name: u, user: {tokenFile: token}}], contexts: [{name: c, context: {cluster: c, user: u, namespace: lab}}]}`, 0o600)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"frob"}, `slurmbridge takes no arguments, and got "frob"; see slurmbridge --help`},
		{[]string{"--frob"}, "unknown flag: --frob; see slurmbridge --help"},
		{[]string{"--name", "Big_One"}, `--name "Big_One": give at most 46 lower-case letters, digits and inner hyphens, as in spec.slurm.bridge`},
		{[]string{"--metrics-address", "0.0.0.0:9464"}, `--metrics-address "0.0.0.0:9464" can be reached from other hosts: give 127.0.0.1:PORT or [::1]:PORT, and have an agent of this host read it there`},
		{[]string{"--metrics-address", "9464"}, `--metrics-address "9464": give 127.0.0.1:PORT or [::1]:PORT`},
		{[]string{"--limits", limits}, `--limits: ` + limits + `: unknown field "maxWorker"`},
		{[]string{}, "there is no kubeconfig: give one with --kubeconfig or KUBECONFIG; docs/slurm.md tells how to make it"},
		{[]string{"--kubeconfig", limits + ".none"}, "kubeconfig: stat " + limits + ".none: no such file or directory"},
		{[]string{"--kubeconfig", kubeconfig}, "kubeconfig: tokenFile: " + token + " is open to other users (mode 0644): run chmod 600 on it, and make a new token if it was so for long"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), tt.args, &stdout, &stderr)
		if got := strings.TrimSuffix(stderr.String(), "\n"); code != 2 || got != "error: "+tt.want || stdout.Len() > 0 {
			t.Errorf("%q: code %d\n got %s\nwant error: %s", tt.args, code, got, tt.want)
		}
	}
}

func TestVersion(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"version", "-o", "json"}, &stdout, &stderr); code != 0 || !strings.HasPrefix(stdout.String(), "{") {
		t.Errorf("code %d, %s%s", code, stdout.String(), stderr.String())
	}
}
