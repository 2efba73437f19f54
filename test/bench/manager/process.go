package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"tigerflow.dev/tigerflow/internal/kube/kubetest"
)

const (
	metrics = "127.0.0.1:18443"
	ticks   = 100 // of /proc/PID/stat, in a second
)

func writeKubeconfig(path string, config *rest.Config) error {
	k := clientcmdapi.NewConfig()
	k.Clusters["c"] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	k.AuthInfos["c"] = &clientcmdapi.AuthInfo{Token: config.BearerToken, ClientCertificateData: config.CertData, ClientKeyData: config.KeyData}
	k.Contexts["c"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "c"}
	k.CurrentContext = "c"
	return clientcmd.WriteToFile(*k, path)
}

// processorTime is what the manager has used of it.
func (b *bench) processorTime() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.manager.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	return time.Duration(user+system) * time.Second / ticks, errors.Join(err1, err2)
}

// peak is the most memory that the manager has had, in bytes.
func (b *bench) peak() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.manager.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	kilobytes, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	return kilobytes << 10, err
}

// patches is how many the manager has sent: at this point all are of statuses.
func (b *bench) patches(ctx context.Context) (sum float64, err error) {
	if b.token == "" {
		if err := b.reader(ctx); err != nil {
			return 0, err
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+metrics+"/metrics", http.NoBody)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+b.token)
	c := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // it is its own authority
	defer c.CloseIdleConnections()
	answer, err := c.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("the manager's metrics: %s", answer.Status)
	}
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if line := lines.Text(); strings.HasPrefix(line, "rest_client_requests_total{") && strings.Contains(line, `method="PATCH"`) {
			n, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
			if err != nil {
				return 0, err
			}
			sum += n
		}
	}
	return sum, nil
}

// reader makes an account that may read the metrics.
func (b *bench) reader(ctx context.Context) error {
	const name = "prometheus"
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: kubetest.SystemNamespace, Name: name}}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "tigerflow-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: kubetest.SystemNamespace, Name: name}},
	}
	if err := errors.Join(b.client.Create(ctx, account), b.client.Create(ctx, binding)); err != nil {
		return err
	}
	config, err := b.cluster.Account(ctx, kubetest.SystemNamespace, name)
	if err != nil {
		return err
	}
	b.token = config.BearerToken
	return nil
}
