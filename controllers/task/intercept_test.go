package task

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// intercept records the writes of the controller and makes what o asks for go wrong.
func (h *harness) intercept(o options) interceptor.Funcs {
	guard := func(call string, do func() error) error {
		if o.faults != nil {
			if err := o.faults(call); err != nil {
				return err
			}
		}
		if err := do(); err != nil || o.lost == nil {
			return err
		}
		return o.lost(call)
	}
	return interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
			h.reads.Add(1)
			get := func() error { return c.Get(ctx, key, into, opts...) }
			if o.read != nil {
				return o.read(ctx, get, into)
			}
			return get()
		},
		Apply: func(ctx context.Context, c client.WithWatch, obj runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			return guard("finalizer", func() error { return c.Apply(ctx, obj, opts...) })
		},
		SubResourceApply: func(ctx context.Context, c client.Client, sub string, obj runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
			h.record(obj, opts)
			return guard("status", func() error { return c.SubResource(sub).Apply(ctx, obj, opts...) })
		},
	}
}

func (h *harness) record(obj runtime.ApplyConfiguration, opts []client.SubResourceApplyOption) {
	var o client.SubResourceApplyOptions
	o.ApplyOpts(opts)
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		h.Error(err)
	}
	status, _, _ := unstructured.NestedMap(content, "status")
	h.mu.Lock()
	defer h.mu.Unlock()
	h.writes = append(h.writes, write{o.FieldManager, status})
}

func (h *harness) written() []write {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.writes)
}
