package pod

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/executor"
)

// entry is what is known of one worker; the Executor's mu guards it.
type entry struct {
	pod       *corev1.Pod      // as it was last seen; nil once it is gone
	end       *executor.Worker // how it ended; nil while it has a Pod
	meant     bool             // this process wants it to end
	stopping  bool             // and the API server has said that it knows
	killing   bool             // at once
	forgotten bool             // it is listed no more, though its Pod may yet be there
}

// worker is the worker without its id.
func (p *entry) worker(now time.Time) executor.Worker {
	if p.end != nil {
		return *p.end
	}
	return workerOf(p.pod, p.meant, p.stopping, now)
}

// store is the Executor as a watch fills it.
type store struct{ *Executor }

func (s store) Add(o any) error    { s.see(o); return nil }
func (s store) Update(o any) error { s.see(o); return nil }

// Delete gets a Pod as it last was, with the end of its containers if its node has told of it.
func (s store) Delete(o any) error {
	pod, id, ok := identify(o)
	if !ok {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.pods[id]; p == nil || p.pod == nil || p.pod.UID == pod.UID { // else it is one of an earlier dispatcher
		s.bury(id, pod, true)
		s.notify()
	}
	return nil
}

// Replace gets the list of all Pods as of a version. Those that are missing went while nobody watched; one that was made since
// is not among them either.
func (s store) Replace(list []any, version string) error {
	there := map[executor.WorkerID]bool{}
	for _, o := range list {
		s.see(o)
		if _, id, ok := identify(o); ok {
			there[id] = true
		}
	}
	s.mu.Lock()
	for id, p := range s.pods {
		if there[id] || p.pod == nil {
			continue
		}
		if order, err := resourceversion.CompareResourceVersion(p.pod.ResourceVersion, version); err != nil || order <= 0 {
			s.bury(id, p.pod, false)
		}
	}
	select {
	case <-s.listed:
	default:
		close(s.listed)
	}
	s.mu.Unlock()
	s.notify()
	return nil
}

// Resync tells of Pods whose state time alone may have changed: those that take long to start, or to end.
func (s store) Resync() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pods {
		if p.pod == nil || p.forgotten {
			continue
		}
		if w := p.worker(time.Now()); w.Phase == executor.Starting || overdue(p.pod, time.Now()) {
			s.notify()
			break
		}
	}
	return nil
}

func (s store) see(o any) {
	if pod, ok := o.(*corev1.Pod); ok {
		s.put(pod)
		s.notify()
	}
}

// identify finds out which worker a Pod is of.
func identify(o any) (*corev1.Pod, executor.WorkerID, bool) {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return nil, executor.WorkerID{}, false
	}
	id, err := executor.ParseWorkerID(pod.Labels[v1alpha1.LabelWorker])
	return pod, id, err == nil
}

// put notes how a Pod is.
func (e *Executor) put(pod *corev1.Pod) {
	pod, id, ok := identify(pod)
	if !ok {
		return
	}
	pod.ManagedFields = nil
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.pods[id]
	if p == nil {
		p = &entry{}
		e.pods[id] = p
	}
	if p.end == nil && (p.pod == nil || !newer(p.pod, pod)) {
		p.pod = pod
	}
}

// newer reports whether a Pod is known to be as it was after b.
func newer(a, b *corev1.Pod) bool {
	order, err := resourceversion.CompareResourceVersion(a.ResourceVersion, b.ResourceVersion)
	return err == nil && order > 0
}

// bury notes that a Pod is gone, which was watched or not; e.mu is held. What its worker came to is listed until that is forgotten.
func (e *Executor) bury(id executor.WorkerID, last *corev1.Pod, watched bool) {
	p := e.pods[id]
	if p == nil {
		p = &entry{}
		e.pods[id] = p
	}
	if p.forgotten {
		delete(e.pods, id)
		return
	}
	p.pod, p.end = nil, new(endOf(last, p.meant, watched, time.Now()))
	e.bound()
}

// bound drops the oldest ends that nobody has asked to be forgotten; e.mu is held.
func (e *Executor) bound() {
	var gone []executor.WorkerID
	for id, p := range e.pods {
		if p.end != nil {
			gone = append(gone, id)
		}
	}
	if len(gone) <= executor.MaxEnded {
		return
	}
	slices.SortFunc(gone, func(a, b executor.WorkerID) int { return e.pods[a].end.EndedAt.Compare(e.pods[b].end.EndedAt) })
	for _, id := range gone[:len(gone)-executor.MaxEnded] {
		delete(e.pods, id)
	}
}

// mean notes that a worker is to end and returns its Pod, nil if there is nothing to do.
func (e *Executor) mean(id executor.WorkerID, mode executor.StopMode) *corev1.Pod {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.pods[id]
	if p == nil || p.worker(time.Now()).Phase.Terminal() {
		return nil
	}
	if p.killing || mode == executor.Drain && (p.stopping || p.pod.DeletionTimestamp != nil) {
		return nil
	}
	p.meant = true
	return p.pod
}

// done notes that the API server knows that a worker is to end.
func (e *Executor) done(id executor.WorkerID, mode executor.StopMode) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p := e.pods[id]; p != nil {
		p.stopping = true
		p.killing = p.killing || mode == executor.Kill
	}
	e.notify()
}

// remains returns the Pod of a worker that has ended, nil if it is gone already, and whether there is such a worker.
func (e *Executor) remains(id executor.WorkerID) (pod *corev1.Pod, ended bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.pods[id]
	if p == nil || p.forgotten || !p.worker(time.Now()).Phase.Terminal() {
		return nil, false
	}
	return p.pod, true
}

// forget lists a worker no more.
func (e *Executor) forget(id executor.WorkerID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.pods[id]
	switch {
	case p == nil:
	case p.pod == nil:
		delete(e.pods, id)
	default:
		p.forgotten = true
	}
}
