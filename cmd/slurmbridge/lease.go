package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/spool"
)

const (
	leaseDuration = time.Minute // after which whoever does not renew its Lease counts as gone
	leasePeriod   = 20 * time.Second
	leaseTimeout  = 10 * time.Second // of one request
)

// processAnnotation has the spool.Process of the holder, so that another on its host can tell whether it still runs.
const processAnnotation = "tigerflow.dev/process"

// lease is the hold of this process on the name of its bridge. It differs from client-go's leader election in one thing: to
// lose contact is not to lose the Lease. Work goes on from what was last seen until another holder shows.
type lease struct {
	client coordination.LeaseInterface
	bridge string
	name   string
	self   spool.Process
	period time.Duration
	log    logr.Logger

	held    *coordinationv1.Lease
	renewed atomic.Pointer[time.Time]
}

// heldError says that another process is the bridge.
type heldError struct {
	name, holder string
	age          time.Duration // since it was last renewed
}

func (e *heldError) Error() string {
	return fmt.Sprintf("the Lease %s is held by %s, which renewed it %s ago", e.name, e.holder, e.age.Round(time.Second))
}

func newLease(client coordination.LeaseInterface, bridge string, log logr.Logger) *lease {
	return &lease{client: client, bridge: bridge, name: v1alpha1.BridgeLease(bridge), self: spool.Self(), period: leasePeriod, log: log}
}

// identity is unique among all processes: the number of one may be used again on its host, but not with the same start.
func (l *lease) identity() string {
	return fmt.Sprintf("%s/%d-%s", l.self.Host, l.self.PID, l.self.Start)
}

// take takes the Lease, or fails with a heldError if another process has it that shows no end: one that has renewed it within
// its duration, by the clock of this host, and that is not seen to have ended on this host. A clock that is wrong does no
// harm to files, whose spools have locks of their own. force takes it from anyone.
func (l *lease) take(ctx context.Context, force bool) error {
	return l.claim(ctx, func(current *coordinationv1.Lease) error {
		age := time.Since(renewTime(current))
		if force || holderOf(current) == "" || age > durationOf(current) || gone(current) {
			return nil
		}
		return &heldError{name: l.name, holder: holderOf(current), age: age}
	})
}

// keep renews the Lease until ctx ends. It returns a heldError when another process has taken it.
func (l *lease) keep(ctx context.Context) error {
	tick := time.NewTicker(l.period)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := l.renew(ctx)
		held := (*heldError)(nil)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &held):
			return err
		case err != nil && !failing:
			l.log.Error(err, "the Lease cannot be renewed; workers and scaling go on from the last specs seen", "lease", l.name)
		case err == nil && failing:
			l.log.Info("the Lease is renewed again", "lease", l.name)
		}
		failing = err != nil
	}
}

func (l *lease) renew(ctx context.Context) error {
	err := l.write(ctx, l.held)
	if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
		return err
	}
	return l.claim(ctx, func(current *coordinationv1.Lease) error {
		if holder := holderOf(current); holder != "" && holder != l.identity() {
			return &heldError{name: l.name, holder: holder, age: time.Since(renewTime(current))}
		}
		return nil
	})
}

// claim makes the Lease this process's own, if may does not object to what it is now.
func (l *lease) claim(ctx context.Context, may func(current *coordinationv1.Lease) error) error {
	for {
		current, err := l.get(ctx)
		switch {
		case apierrors.IsNotFound(err):
			err = l.create(ctx)
		case err != nil:
			return err
		default:
			if err := may(current); err != nil {
				return err
			}
			err = l.write(ctx, current)
		}
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) { // else another was quicker
			return err
		}
	}
}

// release lets the next one take the Lease at once.
func (l *lease) release(ctx context.Context) error {
	err := l.free(ctx, l.held)
	if apierrors.IsConflict(err) { // it may be this process's own renewal, of which the answer was lost
		var current *coordinationv1.Lease
		if current, err = l.get(ctx); err == nil && holderOf(current) == l.identity() {
			err = l.free(ctx, current)
		}
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func (l *lease) free(ctx context.Context, current *coordinationv1.Lease) error {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	next := current.DeepCopy()
	next.Spec.HolderIdentity, next.Spec.RenewTime = new(""), &metav1.MicroTime{Time: time.Now()}
	delete(next.Annotations, processAnnotation)
	_, err := l.client.Update(ctx, next, metav1.UpdateOptions{})
	return err
}

// renewedWithin reports whether the Lease was renewed in the last d.
func (l *lease) renewedWithin(d time.Duration) bool {
	at := l.renewed.Load()
	return at != nil && time.Since(*at) < d
}

func (l *lease) get(ctx context.Context) (*coordinationv1.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	return l.client.Get(ctx, l.name, metav1.GetOptions{})
}

func (l *lease) create(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	first := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: l.name}}
	l.mark(first)
	return l.wrote(l.client.Create(ctx, first, metav1.CreateOptions{}))
}

// write makes current this process's own, renewed now.
func (l *lease) write(ctx context.Context, current *coordinationv1.Lease) error {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	next := current.DeepCopy()
	l.mark(next)
	return l.wrote(l.client.Update(ctx, next, metav1.UpdateOptions{}))
}

func (l *lease) wrote(written *coordinationv1.Lease, err error) error {
	if err == nil {
		l.held = written
		l.renewed.Store(new(time.Now()))
	}
	return err
}

func (l *lease) mark(next *coordinationv1.Lease) {
	now, identity := metav1.MicroTime{Time: time.Now()}, l.identity()
	metav1.SetMetaDataLabel(&next.ObjectMeta, v1alpha1.LabelBridge, l.bridge) // the manager looks at no other Leases
	if holderOf(next) != identity {
		transitions := int32(0)
		if next.Spec.LeaseTransitions != nil {
			transitions = *next.Spec.LeaseTransitions + 1
		}
		next.Spec.HolderIdentity, next.Spec.AcquireTime, next.Spec.LeaseTransitions = &identity, &now, &transitions
		if text, err := json.Marshal(l.self); err == nil { // always, with this type
			metav1.SetMetaDataAnnotation(&next.ObjectMeta, processAnnotation, string(text))
		}
	}
	next.Spec.RenewTime, next.Spec.LeaseDurationSeconds = &now, new(int32(leaseDuration/time.Second))
}

func holderOf(l *coordinationv1.Lease) string {
	if l.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.Spec.HolderIdentity
}

func renewTime(l *coordinationv1.Lease) time.Time {
	if l.Spec.RenewTime == nil {
		return time.Time{}
	}
	return l.Spec.RenewTime.Time
}

func durationOf(l *coordinationv1.Lease) time.Duration {
	if l.Spec.LeaseDurationSeconds == nil {
		return leaseDuration
	}
	return time.Duration(*l.Spec.LeaseDurationSeconds) * time.Second
}

// gone reports that the holder has certainly ended, as can be told of processes of this host.
func gone(l *coordinationv1.Lease) bool {
	var holder spool.Process
	text, ok := l.Annotations[processAnnotation]
	return ok && json.Unmarshal([]byte(text), &holder) == nil && holder.Gone()
}
