package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/slurmbridge/slurmtest"
)

// command runs the program, with its messages in the file log, until stop, which returns the exit code.
func (s *site) command(args ...string) (stop func() int) {
	s.Helper()
	log, err := os.OpenFile(s.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	s.must(err)
	defer log.Close()
	cmd := exec.Command(filepath.Join(filepath.Dir(os.Getenv("TIGERFLOW_BIN")), "slurmbridge"), args...)
	cmd.Stdout, cmd.Stderr = log, log
	s.must(cmd.Start())
	s.Cleanup(func() { _ = cmd.Process.Kill() }) // it has mostly ended
	return func() int {
		s.Helper()
		s.must(cmd.Process.Signal(syscall.SIGTERM))
		_ = cmd.Wait() // its code says more
		return cmd.ProcessState.ExitCode()
	}
}

// explain shows what there is to see of a failure.
func (s *site) explain() {
	if !s.Failed() {
		return
	}
	log, _ := os.ReadFile(s.path("log"))
	jobs, _ := exec.Command("squeue", "--me", "-r", "-t", "all").CombinedOutput()
	s.Logf("the bridge says:\n%s\nsqueue says:\n%s", log, jobs)
	logs, _ := filepath.Glob(s.path("out", ".tigerflow", "tasks", "*", "logs", "*"))
	for _, path := range logs {
		text, _ := os.ReadFile(path)
		s.Logf("%s:\n%s", path, text)
	}
	var list v1alpha1.TaskList
	if err := s.client.List(context.Background(), &list, client.InNamespace(s.namespace)); err == nil && len(list.Items) > 0 {
		s.Logf("%+v", list.Items[0].Status)
	}
}

// queued is what squeue has of this user's that has not ended.
func queued(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("squeue", "--me", "-h", "-o", "%j %T").Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// The whole command over a real cluster: workers outlive it, and what was deleted meanwhile is ended when it is back.
func TestCommandOnSlurm(t *testing.T) {
	slurmtest.Need(t)
	s := newSite(t)
	t.Cleanup(s.explain)
	t.Setenv("XDG_STATE_HOME", s.path("state"))
	k := clientcmdapi.NewConfig()
	k.Clusters["c"] = &clientcmdapi.Cluster{Server: shared.Config.Host, CertificateAuthorityData: shared.Config.CAData}
	k.AuthInfos["c"] = &clientcmdapi.AuthInfo{ClientCertificateData: shared.Config.CertData, ClientKeyData: shared.Config.KeyData}
	k.Contexts["c"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "c", Namespace: s.namespace}
	k.CurrentContext = "c"
	s.must(clientcmd.WriteToFile(*k, s.path("kubeconfig")))
	s.must(os.WriteFile(s.path("limits"), []byte("maxWorkersInAll: 4\nroots: ["+s.dir+"]\n"), 0o600))
	args := []string{"--kubeconfig", s.path("kubeconfig"), "--limits", s.path("limits")}

	for i := range 20 {
		s.put(fmt.Sprintf("%d.txt", i))
	}
	s.create("{scaling: {minWorkers: 1, maxWorkers: 3, workerIdleTimeout: 1s}}")
	stop := s.command(args...)
	s.done(20)
	if code := stop(); code != 0 {
		t.Fatalf("code %d", code)
	}
	if got := queued(t); !strings.Contains(got, "t.tf-") {
		t.Fatalf("no worker has outlived the bridge: %q", got)
	}
	s.must(s.client.Delete(t.Context(), s.task()))
	stop = s.command(args...)
	wait(t, "the end of the Task", s.vanished)
	wait(t, "the end of the jobs", func() bool { return !strings.Contains(queued(t), "t.tf-") })
	if code := stop(); code != 0 {
		t.Errorf("code %d", code)
	}
	s.abandoned(args)
}

// abandoned has a Task go without its finalizer while no bridge is there.
func (s *site) abandoned(args []string) {
	s.Helper()
	s.put("last.txt")
	s.create("{scaling: {minWorkers: 1}}")
	stop := s.command(args...)
	s.done(21)
	if code := stop(); code != 0 {
		s.Fatalf("code %d", code)
	}
	s.must(s.client.Patch(s.Context(), s.task(), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))))
	s.must(s.client.Delete(s.Context(), s.task()))
	stop = s.command(args...)
	wait(s.T, "the end of the jobs", func() bool { return !strings.Contains(queued(s.T), "t.tf-") })
	if code := stop(); code != 0 {
		s.Errorf("code %d", code)
	}
}
