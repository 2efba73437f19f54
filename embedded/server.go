package embedded

import (
	"context"
	"errors"
	"net/http"
	"time"

	noop "go.opentelemetry.io/otel/trace/noop"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apiextensions-apiserver/pkg/cmd/server/options"
	extensionsopenapi "k8s.io/apiextensions-apiserver/pkg/generated/openapi"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/authentication/request/x509"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/util/compatibility"
	"k8s.io/apiserver/pkg/util/openapi"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	basecompatibility "k8s.io/component-base/compatibility"
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
	synced      map[string]<-chan struct{}
	drained     <-chan struct{}
	shutDown    context.CancelFunc
	done        chan struct{}
	err         error // valid once done is closed
}

// startServer begins to serve CRDs from the store; requests that come too early wait or fail with 503. The groups
// are those of CRDs to come. It owns the listener from here on.
func startServer(l *listener, p *pki, store string, client *rest.Config, groups []metav1.APIGroup) (*server, error) {
	cfg, err := serverConfig(l, p, client)
	if err != nil {
		return nil, err
	}
	s := &server{listener: l, drained: cfg.DrainedNotify(), done: make(chan struct{})}
	s.requests, s.endRequests = context.WithCancel(context.Background())
	cfg.BuildHandlerChainFunc = s.handlerChain
	etcd, err := storage(&cfg.Config, store)
	if err != nil {
		return nil, err
	}
	extensions := &apiserver.Config{
		GenericConfig: cfg,
		ExtraConfig: apiserver.ExtraConfig{
			MasterCount:          1,
			CRDRESTOptionsGetter: options.NewCRDRESTOptionsGetter(*etcd, nil, nil),
			ServiceResolver:      webhook.NewDefaultServiceResolver(),
			AuthResolverWrapper:  webhook.NewDefaultAuthenticationInfoResolverWrapper(nil, nil, client, noop.NewTracerProvider()),
		},
	}
	complete := extensions.Complete()
	// Complete leaves discovery to an aggregator in front; there is none, and GET /apis would be 404.
	complete.GenericConfig.EnableDiscovery = true
	built, err := complete.New(genericserver.NewEmptyDelegate())
	if err != nil {
		return nil, err
	}
	for _, g := range groups { // the server itself lists them for clients with aggregated discovery only
		built.GenericAPIServer.DiscoveryGroupManager.AddGroup(g)
	}
	prepared := built.GenericAPIServer.PrepareRun()
	prepared.ShutdownTimeout = shutdownTimeout

	s.synced = built.GenericAPIServer.MuxAndDiscoveryCompleteSignals()
	var ctx context.Context
	ctx, s.shutDown = context.WithCancel(context.Background())
	go func() {
		defer close(s.done)
		s.err = prepared.RunWithContext(ctx)
	}()
	return s, nil
}

// stop lets requests in flight end, up to requestGrace, then ends them.
func (s *server) stop() error {
	if err := s.waitSynced(); err != nil {
		return err
	}
	s.shutDown()
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

// serverConfig is built by hand: the generic options want clients of a core API that is not there.
func serverConfig(l *listener, p *pki, client *rest.Config) (*genericserver.RecommendedConfig, error) {
	cert, err := dynamiccertificates.NewStaticCertKeyContent("server", p.server.cert, p.server.key)
	if err != nil {
		return nil, err
	}
	authority, err := dynamiccertificates.NewStaticCAContent("clients", p.authority)
	if err != nil {
		return nil, err
	}
	cfg := genericserver.NewRecommendedConfig(apiserver.Codecs)
	cfg.EffectiveVersion = releaseVersion{compatibility.DefaultBuildEffectiveVersion()}
	cfg.ExternalAddress = l.Addr().String()
	cfg.MergedResourceConfig = apiserver.DefaultAPIResourceConfigSource()
	cfg.SecureServing = &genericserver.SecureServingInfo{Listener: l, Cert: cert, ClientCA: authority}
	cfg.LoopbackClientConfig = client
	cfg.Authentication.Authenticator = x509.NewDynamic(authority.VerifyOptions, x509.CommonNameUserConversion)
	cfg.Authorization.Authorizer = authorizerfactory.NewPrivilegedGroups(user.SystemPrivilegedGroup)
	cfg.ShutdownWatchTerminationGracePeriod = requestGrace
	describe(cfg)
	simplify(cfg)
	return cfg, nil
}

// describe sets up both versions of OpenAPI: without v2, too, the schemas of CRDs are never published and
// kubectl explain has nothing to show.
func describe(cfg *genericserver.RecommendedConfig) {
	definitions := openapi.GetOpenAPIDefinitionsWithoutDisabledFeatures(extensionsopenapi.GetOpenAPIDefinitions)
	namer := openapinamer.NewDefinitionNamer(apiserver.Scheme, scheme.Scheme)
	cfg.OpenAPIConfig = genericserver.DefaultOpenAPIConfig(definitions, namer)
	cfg.OpenAPIConfig.Info.Title = "tigerflow"
	cfg.OpenAPIV3Config = genericserver.DefaultOpenAPIV3Config(definitions, namer)
	cfg.OpenAPIV3Config.Info.Title = "tigerflow"
}

// simplify leaves out what guards a server of many users and what wakes an idle one up.
func simplify(cfg *genericserver.RecommendedConfig) {
	cfg.EnableProfiling = false
	cfg.EnableIndex = false
	cfg.EnableMetrics = false
	cfg.FlowControl = nil
	cfg.MaxRequestsInFlight, cfg.MaxMutatingRequestsInFlight = 0, 0
	cfg.StorageObjectCountTracker = nil
	cfg.DisabledPostStartHooks.Insert("max-in-flight-filter")
	cfg.HealthzChecks, cfg.LivezChecks, cfg.ReadyzChecks = nil, nil, nil // one of them runs on after the server
}

func storage(cfg *genericserver.Config, endpoint string) (*genericoptions.EtcdOptions, error) {
	etcd := genericoptions.NewEtcdOptions(storagebackend.NewDefaultConfig("/registry",
		apiserver.Codecs.LegacyCodec(apiextensionsv1.SchemeGroupVersion)))
	etcd.StorageConfig.Transport.ServerList = []string{endpoint}
	etcd.SkipHealthEndpoints = true
	// There is no garbage collector to answer the finalizer that a foreground deletion would set.
	etcd.EnableGarbageCollection = false
	return etcd, etcd.ApplyTo(cfg)
}

// releaseVersion reports a release: built as a library, the server would report a template that kubectl cannot parse.
type releaseVersion struct {
	basecompatibility.EffectiveVersion
}

func (v releaseVersion) Info() *apiversion.Info {
	info := *v.EffectiveVersion.Info()
	info.GitVersion = "v" + v.BinaryVersion().WithPatch(0).String() + "+tigerflow"
	info.GitCommit, info.GitTreeState, info.BuildDate = "", "", "1970-01-01T00:00:00Z"
	return &info
}
