package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"tigerflow.dev/tigerflow/internal/kube/kubetest"
)

// process is a manager of the whole cluster, in a process of its own.
type process struct {
	*exec.Cmd
	metrics, health string
	log             *bytes.Buffer
}

func (s *site) process() *process {
	s.Helper()
	config, err := cluster.Account(s.Context(), kubetest.SystemNamespace, "tigerflow-manager")
	s.must(err)
	k := clientcmdapi.NewConfig()
	k.Clusters["c"] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	k.AuthInfos["c"] = &clientcmdapi.AuthInfo{Token: config.BearerToken}
	k.Contexts["c"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "c"}
	k.CurrentContext = "c"
	path := filepath.Join(s.TempDir(), "kubeconfig")
	s.must(clientcmd.WriteToFile(*k, path))
	p := &process{metrics: freePort(s.T), health: freePort(s.T), log: &bytes.Buffer{}}
	p.Cmd = exec.CommandContext(context.Background(), os.Args[0], "--kubeconfig="+path, "--leader-election-namespace="+kubetest.SystemNamespace,
		"--metrics-address="+p.metrics, "--health-address="+p.health)
	p.Env = append(os.Environ(), managerVariable+"=1")
	p.Stderr = p.log
	s.must(p.Start())
	s.Cleanup(func() {
		_ = p.Process.Kill()
		_ = p.Wait()
		if s.Failed() {
			s.Log(p.log.String())
		}
	})
	s.wait("a manager's health", func() bool { return p.answers("/healthz") && p.answers("/readyz") })
	return p
}

func (p *process) answers(path string) bool {
	answer, err := http.Get("http://" + p.health + path)
	if err != nil {
		return false
	}
	_ = answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// One manager works at a time. When it is killed the next one goes on, and one that is told to end lets go at once.
func TestManagersTakeTurns(t *testing.T) {
	s := newSite(t)
	first := s.process()
	holder := s.leader("")
	second := s.process()
	s.task("a", "{}")
	s.pod("tigerflow-task-a", there)
	s.metricsAreForSome(first)
	s.must(first.Process.Kill())
	s.task("b", "{}")
	s.pod("tigerflow-task-b", there)
	s.leader(holder)
	s.must(second.Process.Signal(syscall.SIGTERM))
	if err := second.Wait(); err != nil {
		t.Errorf("it ends with %v", err)
	}
	if !strings.Contains(second.log.String(), `"message":"the manager has ended"`) {
		t.Error("its log does not tell of its end")
	}
	lease := &coordinationv1.Lease{}
	s.must(s.client.Get(t.Context(), leaseKey, lease))
	if *lease.Spec.HolderIdentity != "" {
		t.Errorf("%s holds the Lease", *lease.Spec.HolderIdentity)
	}
}

var leaseKey = types.NamespacedName{Namespace: kubetest.SystemNamespace, Name: leaseName}

// leader waits until the Lease has another holder than before.
func (s *site) leader(before string) (holder string) {
	s.Helper()
	s.wait("a leader", func() bool {
		lease := &coordinationv1.Lease{}
		if s.client.Get(s.Context(), leaseKey, lease) != nil || lease.Spec.HolderIdentity == nil {
			return false
		}
		holder = *lease.Spec.HolderIdentity
		return holder != "" && holder != before
	})
	return holder
}

// metricsAreForSome checks who gets the metrics: whom the cluster knows and allows it.
func (s *site) metricsAreForSome(p *process) {
	s.Helper()
	s.must(s.client.Create(s.Context(), &corev1.ServiceAccount{ObjectMeta: s.meta("prometheus")}))
	config, err := cluster.Account(s.Context(), s.namespace, "prometheus")
	s.must(err)
	s.wait("the refusal of who does not say who it is", func() bool {
		code, _ := p.scrape(s, "")
		return code == http.StatusUnauthorized
	})
	if code, _ := p.scrape(s, config.BearerToken); code != http.StatusForbidden {
		s.Errorf("who is not allowed gets %d", code)
	}
	s.must(s.client.Create(s.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: s.namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "tigerflow-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: s.namespace, Name: "prometheus"}},
	}))
	s.wait("the metrics", func() bool {
		code, text := p.scrape(s, config.BearerToken)
		return code == http.StatusOK && strings.Contains(text, `tigerflow_tasks{`) && strings.Contains(text, "process_cpu_seconds_total")
	})
}

// scrape asks for the metrics; code is 0 without an answer.
func (p *process) scrape(s *site, token string) (code int, text string) {
	s.Helper()
	request, err := http.NewRequestWithContext(s.Context(), http.MethodGet, "https://"+p.metrics+"/metrics", http.NoBody)
	s.must(err)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	c := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // it is its own authority
	defer c.CloseIdleConnections()
	answer, err := c.Do(request)
	if err != nil { // it does not listen yet
		return 0, ""
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	s.must(err)
	return answer.StatusCode, string(body)
}
