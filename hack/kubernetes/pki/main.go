// Command pki writes the certificates, keys and kubeconfigs of a test cluster of one node.
//
//	pki DIR NODE IP SERVICE-IP
//
// IP is the node's, where the API server listens too; SERVICE-IP that of the Service "kubernetes".
package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 4 {
		return errors.New("usage: pki DIR NODE IP SERVICE-IP")
	}
	dir, node, ip, service := args[0], args[1], net.ParseIP(args[2]), net.ParseIP(args[3])
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	a, err := newAuthority(dir)
	if err != nil {
		return err
	}
	apiServer := template("kube-apiserver")
	apiServer.DNSNames = []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"}
	apiServer.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), ip, service}
	kubelet := template("system:node:"+node, "system:nodes")
	kubelet.DNSNames, kubelet.IPAddresses = []string{node}, []net.IP{ip}
	return errors.Join(
		a.write("apiserver", apiServer),
		a.write("kubelet-serving", kubelet),
		a.write("apiserver-kubelet-client", template("kube-apiserver-kubelet-client", "system:masters")),
		a.writeServiceAccounts(),
		a.writeKubeconfig("admin", args[2], template("admin", "system:masters")),
		a.writeKubeconfig("kubelet", args[2], kubelet),
		a.writeKubeconfig("kube-controller-manager", args[2], template("system:kube-controller-manager")),
		a.writeKubeconfig("kube-scheduler", args[2], template("system:kube-scheduler")),
		a.writeKubeconfig("kube-proxy", args[2], template("system:kube-proxy")),
	)
}

// writeKubeconfig writes NAME.kubeconfig for a client of the API server at an address.
func (a *authority) writeKubeconfig(name, ip string, client *certificate) error {
	cert, key, err := a.sign(client)
	if err != nil {
		return err
	}
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters:
- name: tigerflow
  cluster: {server: "https://%s:6443", certificate-authority-data: %s}
users:
- name: %[3]s
  user: {client-certificate-data: %[4]s, client-key-data: %[5]s}
contexts:
- name: tigerflow
  context: {cluster: tigerflow, user: %[3]s}
current-context: tigerflow
`, ip, encode(a.pem), name, encode(cert), encode(key))
	return os.WriteFile(filepath.Join(a.dir, name+".kubeconfig"), []byte(text), 0o600)
}
