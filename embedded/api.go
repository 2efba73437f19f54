package embedded

import (
	"net/http"

	noop "go.opentelemetry.io/otel/trace/noop"
	"k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apiextensions-apiserver/pkg/cmd/server/options"
	extensionsopenapi "k8s.io/apiextensions-apiserver/pkg/generated/openapi"
	apiversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/authentication/request/x509"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/apiserver/pkg/server/healthz"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/util/compatibility"
	"k8s.io/apiserver/pkg/util/openapi"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	basecompatibility "k8s.io/component-base/compatibility"
)

// resourceServer is what knows CRDs and serves what is made of them. It listens to nobody.
func resourceServer(l *listener, p *pki, store string, client *rest.Config) (*genericserver.GenericAPIServer, error) {
	cfg, err := serverConfig(l, p, client)
	if err != nil {
		return nil, err
	}
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
	built.GenericAPIServer.PrepareRun()
	return built.GenericAPIServer, nil
}

// behind is a server behind another one that answers what the other does not know. Its hooks stay with it: what it runs
// beside answering requests, the controllers of CRDs, is ended long before the server is.
type behind struct {
	genericserver.DelegationTarget // has nothing
	api                            *genericserver.GenericAPIServer
}

func (b behind) UnprotectedHandler() http.Handler             { return b.api.UnprotectedHandler() }
func (b behind) HealthzChecks() []healthz.HealthChecker       { return b.api.HealthzChecks() }
func (b behind) ListedPaths() []string                        { return b.api.ListedPaths() }
func (b behind) NextDelegate() genericserver.DelegationTarget { return b.api.NextDelegate() }
func (b behind) Destroy()                                     { b.api.Destroy() }

func (b behind) MuxAndDiscoveryCompleteSignals() map[string]<-chan struct{} {
	return b.api.MuxAndDiscoveryCompleteSignals()
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
	etcd := genericoptions.NewEtcdOptions(storagebackend.NewDefaultConfig(storePrefix, crdCodec))
	etcd.StorageConfig.Transport.ServerList = []string{endpoint}
	etcd.SkipHealthEndpoints = true
	// There is no garbage collector to answer the finalizer that a foreground deletion would set.
	etcd.EnableGarbageCollection = false
	// Its caches wake up each second to tell watchers how far they are; so few watchers etcd can serve itself.
	etcd.EnableWatchCache = false
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
