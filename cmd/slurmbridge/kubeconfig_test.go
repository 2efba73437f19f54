package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// The script's kubeconfig has the cluster of the administrator's, nothing of the administrator's own, and a token in a file.
// A stand-in makes rights and tokens: the embedded API server has no ServiceAccounts.
func TestKubeconfigScript(t *testing.T) {
	kubectl, err := exec.LookPath("kubectl")
	if err != nil {
		t.Skip("kubectl is not on the PATH: run make test")
	}
	dir := t.TempDir()
	admin := clientcmdapi.NewConfig()
	admin.Clusters["a.b"] = &clientcmdapi.Cluster{Server: shared.Config.Host, CertificateAuthorityData: shared.Config.CAData}
	admin.AuthInfos["me"] = &clientcmdapi.AuthInfo{ClientCertificateData: shared.Config.CertData, ClientKeyData: shared.Config.KeyData}
	admin.Contexts["me@a.b"] = &clientcmdapi.Context{Cluster: "a.b", AuthInfo: "me", Namespace: "mine"}
	admin.CurrentContext = "me@a.b"
	if err := clientcmd.WriteToFile(*admin, filepath.Join(dir, "admin")); err != nil {
		t.Fatal(err)
	}
	applied := filepath.Join(dir, "applied")
	standIn := "#!/bin/sh\ncase \"$1 $2\" in 'create token') echo \"$*\" ;; apply*) cat > '" + applied + "' ;; *) exec '" + kubectl + "' \"$@\" ;; esac\n"
	if err := os.WriteFile(filepath.Join(dir, "kubectl"), []byte(standIn), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("../../hack/bridge-kubeconfig.sh", "lab", "gpu", filepath.Join(dir, "made"))
	cmd.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(dir, "admin"), "PATH="+dir+":"+os.Getenv("PATH"))
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	t.Setenv("HOME", dir)
	s, err := (&flags{kubeconfig: filepath.Join(dir, "made", "gpu.kubeconfig"), name: "gpu"}).resolve()
	if err != nil {
		t.Fatal(err)
	}
	if s.namespace != "lab" || s.rest.Host != shared.Config.Host || string(s.rest.CAData) != string(shared.Config.CAData) || s.rest.CertData != nil ||
		s.rest.BearerTokenFile != filepath.Join(dir, "made", "gpu.token") {
		t.Errorf("namespace %s, %s", s.namespace, s.rest)
	}
	const asked = "create token tigerflow-bridge-gpu --namespace lab --duration 168h\n"
	if got, err := os.ReadFile(s.rest.BearerTokenFile); err != nil || string(got) != asked {
		t.Errorf("the token is %q, %v", got, err)
	}
	isPrivate(t, filepath.Join(dir, "made"), 2)
	isFor(t, applied, "gpu")
}

// isFor checks that rights are those of config/rbac/bridge.yaml, for a bridge of another name.
func isFor(t *testing.T, file, bridge string) {
	t.Helper()
	rights, err := os.ReadFile(file)
	if n := strings.Count(string(rights), "tigerflow-bridge-"+bridge); err != nil || n != 7 || strings.Contains(string(rights), "tigerflow-bridge-default") {
		t.Errorf("%d names of this bridge, %v, in %s", n, err, rights)
	}
}

// isPrivate checks that a folder has so many files, which are this user's alone.
func isPrivate(t *testing.T, dir string, files int) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != files {
		t.Errorf("there are %v, %v", entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s is %v, %v", e.Name(), info, err)
		}
	}
}
