package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

// What there is: Tasks by themselves, and Pipelines of four.
const (
	namespaces = 20
	lone       = 1600
	pipelines  = 100
	grouped    = pipelines * 4
	pods       = lone + pipelines

	node = "kwok"
	look = 200 * time.Millisecond
)

// fill makes a node, namespaces with a claim each, and the Tasks and Pipelines in them.
func (b *bench) fill(ctx context.Context) error {
	many := corev1.ResourceList{"cpu": resource.MustParse("1000"), "memory": resource.MustParse("1Ti"), "pods": resource.MustParse("10000")}
	objects := []client.Object{&corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: node}, Status: corev1.NodeStatus{Capacity: many, Allocatable: many},
	}}
	for i := range namespaces {
		name := namespace(i)
		claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "w"}}
		claim.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
		claim.Spec.Resources.Requests = corev1.ResourceList{"storage": resource.MustParse("1Gi")}
		objects = append(objects, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, claim)
	}
	const files = "workspace: {path: /w, volume: {persistentVolumeClaim: {claimName: w}}}, input: {directory: in, extension: .txt}"
	const echo = "type: Local, handler: {builtin: echo}"
	for i := range lone {
		objects = append(objects, object("Task", namespace(i), fmt.Sprintf("t%d", i), "{"+echo+", output: {directory: out, extension: .o}, "+files+"}"))
	}
	for i := range pipelines {
		objects = append(objects, object("Pipeline", namespace(i), fmt.Sprintf("p%d", i), fmt.Sprintf(`{output: {directory: out}, %s, tasks: [
			{name: a, output: {extension: .a}, %s}, {name: b, dependsOn: a, output: {extension: .b}, %s},
			{name: c, dependsOn: b, output: {extension: .c}, %s}, {name: d, dependsOn: c, output: {extension: .d}, %s}]}`, files, echo, echo, echo, echo)))
	}
	for _, o := range objects {
		if err := b.client.Create(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

func namespace(i int) string { return fmt.Sprintf("n%d", i%namespaces) }

func object(kind, namespace, name, spec string) client.Object {
	fields := map[string]any{}
	if err := yaml.Unmarshal([]byte(spec), &fields); err != nil {
		panic(err) // a mistake above
	}
	u := &unstructured.Unstructured{Object: map[string]any{"spec": fields}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}

// settle plays the scheduler until all Pods run and all Pipelines have a status.
func (b *bench) settle(ctx context.Context) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		done, err := b.bind(ctx)
		if err != nil || done {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// bind gives all Pods the node, and reports whether all is as it should be.
func (b *bench) bind(ctx context.Context) (bool, error) {
	list := &corev1.PodList{}
	if err := b.client.List(ctx, list); err != nil {
		return false, err
	}
	running := 0
	for i := range list.Items {
		p := &list.Items[i]
		if p.Status.Phase == corev1.PodRunning {
			running++
		}
		if p.Spec.NodeName != "" {
			continue
		}
		target := &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: node}}
		if err := b.client.SubResource("binding").Create(ctx, p, target); err != nil {
			return false, err
		}
	}
	if running < pods {
		return false, nil
	}
	told := &v1alpha1.PipelineList{}
	if err := b.client.List(ctx, told); err != nil {
		return false, err
	}
	for i := range told.Items {
		if told.Items[i].Status.ObservedGeneration == 0 {
			return false, nil
		}
	}
	return true, nil
}

// play writes the status of every Task once in each round until ctx ends, as dispatchers do at work, and counts the writes.
func (b *bench) play(ctx context.Context, written *int) error {
	list := &v1alpha1.TaskList{}
	if err := b.client.List(ctx, list); err != nil {
		return err
	}
	const players = 8
	var mu sync.Mutex
	var errs []error
	var all sync.WaitGroup
	pace := time.NewTicker(round / time.Duration(len(list.Items)))
	defer pace.Stop()
	next := make(chan int)
	for range players {
		all.Go(func() {
			for i := range next {
				err := b.report(ctx, &list.Items[i%len(list.Items)], int64(i))
				mu.Lock()
				if err == nil {
					*written++
				} else if ctx.Err() == nil {
					errs = append(errs, err)
				}
				mu.Unlock()
			}
		})
	}
	for i := 0; ctx.Err() == nil; i++ {
		select {
		case <-ctx.Done():
		case <-pace.C:
			next <- i
		}
	}
	close(next)
	all.Wait()
	return errors.Join(errs...)
}

// report writes the counters of a Task.
func (b *bench) report(ctx context.Context, t *v1alpha1.Task, done int64) error {
	files := map[string]any{"staged": int64(0), "pending": int64(1), "running": int64(1), "done": done, "failed": int64(0)}
	status := map[string]any{"files": files}
	if t.Spec.Pipeline != nil && t.Spec.Pipeline.Lead != nil {
		status["pipeline"] = map[string]any{"staged": int64(0), "inProgress": int64(2), "finished": done, "failed": int64(0)}
	}
	u := &unstructured.Unstructured{Object: map[string]any{"status": status}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Task"))
	u.SetNamespace(t.Namespace)
	u.SetName(t.Name)
	return b.client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(v1alpha1.FieldOwnerDispatcher), client.ForceOwnership)
}
