package embedded

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	genericserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/rest"
)

const (
	// requestGrace is how long requests in flight, and watches told to end, are waited for at the end.
	requestGrace = 200 * time.Millisecond
	// shutdownTimeout bounds what is left to do then: connections are closed by us.
	shutdownTimeout = 500 * time.Millisecond
	// stopTimeout bounds the wait for the server after that, which is seldom needed.
	stopTimeout = 5 * time.Second
	// syncTimeout bounds the wait of a stop that comes during the start.
	syncTimeout = 5 * time.Second
)

// server is the part of a Kubernetes API server that serves custom resources, in this process.
type server struct {
	listener    *listener
	requests    context.Context // ends those that are left
	endRequests context.CancelFunc
	setup       context.Context // of the controllers of CRDs
	endSetup    context.CancelFunc
	settling    sync.WaitGroup
	fixed       atomic.Bool // no kinds come or go any more
	synced      map[string]<-chan struct{}
	drained     <-chan struct{}
	shutDown    context.CancelFunc
	done        chan struct{}
	err         error // valid once done is closed
}

// startServer begins to serve CRDs from the store; requests that come too early wait or fail with 503. The groups
// are those of CRDs to come. It owns the listener from here on.
func startServer(l *listener, p *pki, store string, client *rest.Config, groups []metav1.APIGroup) (*server, error) {
	api, err := resourceServer(l, p, store, client)
	if err != nil {
		return nil, err
	}
	for _, g := range groups { // the server itself lists them for clients with aggregated discovery only
		api.DiscoveryGroupManager.AddGroup(g)
	}
	cfg, err := serverConfig(l, p, client)
	if err != nil {
		return nil, err
	}
	s := &server{listener: l, drained: cfg.DrainedNotify(), done: make(chan struct{})}
	s.requests, s.endRequests = context.WithCancel(context.Background())
	cfg.BuildHandlerChainFunc = s.handlerChain
	cfg.EnableDiscovery, cfg.OpenAPIConfig, cfg.OpenAPIV3Config = false, nil, nil // the API has its own
	front, err := cfg.Complete().New("front", behind{DelegationTarget: genericserver.NewEmptyDelegate(), api: api})
	if err != nil {
		return nil, err
	}
	prepared := front.PrepareRun()
	prepared.ShutdownTimeout = shutdownTimeout

	s.synced = front.MuxAndDiscoveryCompleteSignals()
	var ctx context.Context
	ctx, s.shutDown = context.WithCancel(context.Background())
	s.setup, s.endSetup = context.WithCancel(ctx)
	go func() {
		defer close(s.done)
		s.err = prepared.RunWithContext(ctx)
	}()
	api.RunPostStartHooks(s.setup)
	return s, nil
}

// settle fixes the kinds: changes of CRDs are refused from here on. Once those there are have been described, too, their
// controllers have nothing left to do, and are ended: each would wake an idle process twice a second.
func (s *server) settle(client *rest.Config, crds []*apiextensionsv1.CustomResourceDefinition) {
	s.fixed.Store(true)
	s.settling.Go(func() {
		if err := waitDescribed(s.setup, client, crds); err == nil { // else they may go on
			s.endSetup()
		}
	})
}

// stop lets requests in flight end, up to requestGrace, then ends them.
func (s *server) stop() error {
	if err := s.waitSynced(); err != nil {
		return err
	}
	s.shutDown()
	s.settling.Wait()
	select {
	case <-s.drained:
	case <-time.After(requestGrace):
	}
	s.endRequests()
	s.listener.closeConns()
	select {
	case <-s.done:
		return s.err
	case <-time.After(stopTimeout):
		return errors.New("the API server did not stop in time")
	}
}

// waitSynced waits until the server may be stopped: it ends the process when that comes before its start is over.
func (s *server) waitSynced() error {
	timeout := time.After(syncTimeout)
	for _, synced := range s.synced {
		select {
		case <-synced:
		case <-timeout:
			return errors.New("the API server did not begin in time, and runs on")
		}
	}
	return nil
}

// handlerChain is the usual one, but a request goes on when its client has gone: when one is cut short, etcd's client
// says so on stderr, past any logger of ours. A watch does end with its client.
func (s *server) handlerChain(api http.Handler, cfg *genericserver.Config) http.Handler {
	chain := genericserver.DefaultBuildHandlerChain(api, cfg)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info, err := cfg.RequestInfoResolver.NewRequestInfo(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if s.fixed.Load() && info.APIGroup == apiextensionsv1.GroupName && !slices.Contains([]string{"get", "list", "watch"}, info.Verb) {
			http.Error(w, "this control plane serves the kinds that it was started with: none can be added, changed or deleted", http.StatusForbidden)
			return
		}
		// The server panics over these. Custom resources have no protobuf form.
		if r.Header.Get("Content-Type") == runtime.ContentTypeProtobuf && info.APIGroup != apiextensionsv1.GroupName {
			http.Error(w, "custom resources are sent as JSON or YAML", http.StatusUnsupportedMediaType)
			return
		}
		if !cfg.LongRunningFunc(r, info) {
			ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
			defer cancel()
			defer context.AfterFunc(s.requests, cancel)()
			r = r.WithContext(ctx)
		}
		chain.ServeHTTP(w, r)
	})
}
