package embedded

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const errandYAML = `
apiVersion: test.tigerflow.dev/v1
kind: Errand
metadata: {name: %s}
spec: {goal: %s}
`

// TestKubectl goes through what people do with kubectl, in order.
func TestKubectl(t *testing.T) {
	if _, err := exec.LookPath("kubectl"); err != nil {
		cannot(t, err.Error())
	}
	kubectl := kubectlFor(t, startPlane(t))
	ready := `{"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Done"}]}}`
	for _, step := range []struct {
		name  string
		args  string
		stdin string
		fails bool
		want  []string // in the output
	}{
		{name: "apply", args: "apply -f -", stdin: fmt.Sprintf(errandYAML, "shop", "milk"), want: []string{"errand.test.tigerflow.dev/shop created"}},
		{name: "apply again", args: "apply -f -", stdin: fmt.Sprintf(errandYAML, "shop", "milk"), want: []string{"shop unchanged"}},
		{name: "apply what a rule forbids", args: "apply -f -", stdin: fmt.Sprintf(errandYAML, "shop", "bread"), fails: true, want: []string{"goal is immutable: make a new Errand"}},
		{name: "apply an unknown field", args: "apply -f -", stdin: fmt.Sprintf(errandYAML, "post", "letter, gooal: x"), fails: true, want: []string{`unknown field "spec.gooal"`}},
		{name: "server-side apply", args: "apply --server-side -f -", stdin: fmt.Sprintf(errandYAML, "post", "letter"), want: []string{"post serverside-applied"}},
		{name: "diff", args: "diff -f -", stdin: fmt.Sprintf(errandYAML, "post", "letter")},
		{name: "patch the status", args: "patch errand shop --subresource=status --type=merge -p " + strings.ReplaceAll(ready, " ", ""), want: []string{"shop patched"}},
		{name: "wait", args: "wait errand/shop --for=condition=Ready --timeout=10s", want: []string{"shop condition met"}},
		{name: "get by plural", args: "get errands", want: []string{"NAME", "GOAL", "STATE", "AGE", "shop", "milk", "Done", "post", "letter"}},
		{name: "get by short name", args: "get er shop -o jsonpath={.spec.times}", want: []string{"1"}},
		{name: "get by category", args: "get chores -o name", want: []string{"errand.test.tigerflow.dev/shop"}},
		{name: "get all namespaces", args: "get errands -A", want: []string{"NAMESPACE", "default"}},
		{name: "label and select", args: "label errand shop urgent=yes", want: []string{"shop labeled"}},
		{name: "select", args: "get errands -l urgent=yes -o name", want: []string{"errand.test.tigerflow.dev/shop\n"}},
		{name: "describe", args: "describe errand shop", want: []string{"Name:", "shop", "Goal:", "milk"}},
		{name: "explain", args: "explain errand.spec.goal", want: []string{"What is to be done."}},
		{name: "api-resources", args: "api-resources", want: []string{"errands", "er", "test.tigerflow.dev/v1", "customresourcedefinitions"}},
		{name: "version", args: "version", want: []string{"Server Version: v1."}},
		{name: "another user", args: "get errands --as=eve", fails: true, want: []string{"Forbidden"}},
		{name: "delete", args: "delete errand shop --timeout=10s", want: []string{"deleted"}},
		{name: "delete in the foreground", args: "delete errand post --cascade=foreground --timeout=10s", want: []string{"deleted"}},
		{name: "nothing is left", args: "get errands", want: []string{"No resources found"}},
	} {
		t.Run(step.name, func(t *testing.T) {
			cmd := kubectl(strings.Fields(step.args)...)
			cmd.Stdin = strings.NewReader(step.stdin)
			out, err := cmd.CombinedOutput()
			if (err != nil) != step.fails {
				t.Errorf("kubectl %s: %v", step.args, err)
			}
			for _, want := range step.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("kubectl %s: no %q in its output", step.args, want)
				}
			}
			if t.Failed() {
				t.Log(string(out))
			}
		})
	}
}

func TestKubectlWatch(t *testing.T) {
	if _, err := exec.LookPath("kubectl"); err != nil {
		cannot(t, err.Error())
	}
	c := startPlane(t)
	cl := newClient(t, c)
	if err := cl.Create(t.Context(), newErrand("shop", "milk")); err != nil {
		t.Fatal(err)
	}
	cmd := kubectlFor(t, c)("get", "errands", "-w", "--no-headers")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	lines := bufio.NewScanner(stdout)
	for _, name := range []string{"shop", "post"} {
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), name) {
			t.Fatalf("kubectl get -w says %q, want %s", lines.Text(), name)
		}
		if err := cl.Create(t.Context(), newErrand("post", "letter")); name == "shop" && err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("kubectl get -w, after the control plane has stopped: %v", err)
	}
}

// kubectlFor makes commands with the kubeconfig of c and a home of their own.
func kubectlFor(t *testing.T, c *ControlPlane) func(args ...string) *exec.Cmd {
	home := t.TempDir()
	return func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "kubectl", args...)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig(), "HOME="+home)
		return cmd
	}
}
