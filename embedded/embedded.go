// Package embedded runs a Kubernetes-style control plane in this process: the API server for custom resources, and
// etcd. It serves the CRDs that it is started with and what is made of them on a loopback port, to its own user, and to
// kubectl. There are no pods, namespaces, events or garbage collector, and no kinds to come. Its state is disposable:
// nothing survives Stop.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"sync"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Options say what to serve, and where.
type Options struct {
	// Dir is the folder that holds the private folder of each run. It must be on a disk of this node and open to
	// this user only; it is made if absent. "" is tigerflow-<uid> in TMPDIR, or in /tmp, /var/tmp or /dev/shm if
	// TMPDIR will not do.
	Dir string
	// Addr is the loopback address to serve on; "" is 127.0.0.1 and any free port.
	Addr string
	// CRDs are served when Start returns. They are not validated: they must be such as any API server would accept.
	CRDs []*apiextensionsv1.CustomResourceDefinition
}

// ControlPlane is a running API server and its store.
type ControlPlane struct {
	dir    *runDir
	store  *store
	server *server
	config *rest.Config

	stopOnce sync.Once
	stop     chan struct{}
	done     chan struct{}
	err      error // valid once done is closed
}

// Start serves the given CRDs on a loopback port until Stop. It takes about 0.2 s; ctx bounds the start alone.
func Start(ctx context.Context, o Options) (*ControlPlane, error) {
	c := &ControlPlane{stop: make(chan struct{}), done: make(chan struct{})}
	if err := c.start(ctx, o); err != nil {
		return nil, fmt.Errorf("starting the embedded control plane: %w", errors.Join(err, c.tearDown()))
	}
	go c.supervise()
	return c, nil
}

func (c *ControlPlane) start(ctx context.Context, o Options) (err error) {
	l, err := listen(o.Addr)
	if err != nil {
		return err
	}
	defer func() {
		if c.server == nil { // which owns it otherwise
			err = errors.Join(err, l.Close())
		}
	}()
	p, err := newPKI(l.ip)
	if err != nil {
		return err
	}
	c.config = clientConfig(l, p)
	if c.dir, err = newRunDir(o.Dir); err != nil {
		return err
	}
	if err := writeKubeconfig(c.Kubeconfig(), c.config); err != nil {
		return err
	}
	if c.store, err = startStore(ctx, c.dir); err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	if err := seedCRDs(ctx, c.store, o.CRDs); err != nil {
		return err
	}
	if c.server, err = startServer(l, p, c.store.endpoint, c.config, groups(o.CRDs)); err != nil {
		return err
	}
	if err := waitAllServed(ctx, c.config, o.CRDs); err != nil {
		return err
	}
	c.server.settle(c.config, o.CRDs)
	return nil
}

// supervise waits for the end, asked for or not, and tears everything down.
func (c *ControlPlane) supervise() {
	defer close(c.done)
	select {
	case <-c.stop:
	case <-c.server.done:
		c.err = errors.New("the API server ended by itself")
	case err := <-c.store.failures.first:
		c.err = fmt.Errorf("etcd: %w", err)
	case err := <-c.store.etcd.Err():
		c.err = fmt.Errorf("etcd: %w", err)
	}
	c.err = errors.Join(c.err, c.tearDown())
}

// tearDown ends what has been started, in the reverse order.
func (c *ControlPlane) tearDown() error {
	var errs []error
	if c.server != nil {
		errs = append(errs, c.server.stop())
	}
	if c.store != nil {
		errs = append(errs, c.store.close())
	}
	if c.dir != nil {
		errs = append(errs, c.dir.remove())
	}
	return errors.Join(errs...)
}

// RESTConfig is for clients in this process; each call returns a copy of its own.
func (c *ControlPlane) RESTConfig() *rest.Config { return rest.CopyConfig(c.config) }

// Kubeconfig is the path of a kubeconfig for kubectl and others, readable by this user only. Stop removes it.
func (c *ControlPlane) Kubeconfig() string { return c.dir.join("kubeconfig") }

// Done is closed when the control plane has ended, by Stop or by itself; Stop then tells why.
func (c *ControlPlane) Done() <-chan struct{} { return c.done }

// Stop ends the control plane in less than a second, requests in flight and open watches included, and removes its
// state. It returns the error that ended it, if it had ended by itself. It may be called again.
func (c *ControlPlane) Stop() error {
	c.stopOnce.Do(func() { close(c.stop) })
	<-c.done
	return c.err
}

func clientConfig(l *listener, p *pki) *rest.Config {
	return &rest.Config{
		Host: "https://" + l.Addr().String(),
		QPS:  -1, // the server is ours: nobody needs to be spared
		TLSClientConfig: rest.TLSClientConfig{
			CAData: p.authority, CertData: p.client.cert, KeyData: p.client.key,
		},
	}
}

func writeKubeconfig(path string, config *rest.Config) error {
	const name = "tigerflow"
	k := clientcmdapi.NewConfig()
	k.Clusters[name] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	k.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificateData: config.CertData, ClientKeyData: config.KeyData}
	k.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name, Namespace: "default"}
	k.CurrentContext = name
	if err := clientcmd.WriteToFile(*k, path); err != nil {
		return fmt.Errorf("writing the kubeconfig: %w", err)
	}
	return nil
}
