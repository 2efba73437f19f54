// Package promptcache is controller-runtime's cache for controllers that begin at once. The usual one looks every 100 ms
// whether objects are there, twice for each kind; a process that lives for a second spends a good part of it so.
package promptcache

import (
	"context"
	"slices"
	"sync"
	"time"

	toolscache "k8s.io/client-go/tools/cache"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// New makes a cache, as cache.New does; it is a manager's Options.NewCache.
func New(config *rest.Config, o cache.Options) (cache.Cache, error) {
	c, err := cache.New(config, o)
	if err != nil {
		return nil, err
	}
	return &prompt{Cache: c}, nil
}

type prompt struct {
	cache.Cache
	mu       sync.Mutex
	handlers []toolscache.DoneChecker
}

// GetInformer does not wait for objects: who adds a handler to the informer waits by WaitForCacheSync.
func (p *prompt) GetInformer(ctx context.Context, obj client.Object, o ...cache.InformerGetOption) (cache.Informer, error) {
	i, err := p.Cache.GetInformer(ctx, obj, append(o, cache.BlockUntilSynced(false))...)
	if err != nil {
		return nil, err
	}
	return &informer{Informer: i, cache: p}, nil
}

// WaitForCacheSync returns as soon as all handlers know all objects, or with false when ctx ends.
func (p *prompt) WaitForCacheSync(ctx context.Context) bool {
	p.mu.Lock()
	handlers := slices.Clone(p.handlers)
	p.mu.Unlock()
	return toolscache.WaitFor(ctx, "", handlers...) && p.Cache.WaitForCacheSync(ctx)
}

// informer tells its cache of handlers.
type informer struct {
	cache.Informer
	cache *prompt
}

func (i *informer) AddEventHandler(h toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error) {
	return i.follow(i.Informer.AddEventHandler(h))
}

func (i *informer) AddEventHandlerWithResyncPeriod(h toolscache.ResourceEventHandler, period time.Duration) (toolscache.ResourceEventHandlerRegistration, error) {
	return i.follow(i.Informer.AddEventHandlerWithResyncPeriod(h, period))
}

func (i *informer) AddEventHandlerWithOptions(h toolscache.ResourceEventHandler, o toolscache.HandlerOptions) (toolscache.ResourceEventHandlerRegistration, error) {
	return i.follow(i.Informer.AddEventHandlerWithOptions(h, o))
}

func (i *informer) follow(r toolscache.ResourceEventHandlerRegistration, err error) (toolscache.ResourceEventHandlerRegistration, error) {
	if err != nil {
		return nil, err
	}
	i.cache.mu.Lock()
	defer i.cache.mu.Unlock()
	i.cache.handlers = append(i.cache.handlers, r.HasSyncedChecker())
	return r, nil
}
