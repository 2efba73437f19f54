package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/spool"
)

// leaseOf is the hold of another process than this one on a bridge of the test's own namespace.
func leaseOf(t *testing.T, host string) *lease {
	t.Helper()
	c, err := coordination.NewForConfig(shared.Config)
	if err != nil {
		t.Fatal(err)
	}
	l := newLease(c.Leases(strings.ToLower(t.Name())), "x", logr.Discard())
	l.self = spool.Process{Host: host, PID: 7, Start: "1"}
	l.period = time.Millisecond
	return l
}

func (l *lease) stored(t *testing.T) *coordinationv1.Lease {
	t.Helper()
	got, err := l.client.Get(t.Context(), l.name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestLeaseHasOneHolder(t *testing.T) {
	first, second := leaseOf(t, "one"), leaseOf(t, "two")
	if err := first.take(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	err := second.take(t.Context(), false)
	if held := (*heldError)(nil); !errors.As(err, &held) || !strings.HasPrefix(err.Error(), "the Lease tigerflow-bridge-x is held by one/7-1, which renewed it ") {
		t.Fatalf("the second gets %v", err)
	}
	if err := first.release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := second.take(t.Context(), false); err != nil {
		t.Fatalf("after the release: %v", err)
	}
	got := second.stored(t)
	if holderOf(got) != "two/7-1" || *got.Spec.LeaseDurationSeconds != 60 || *got.Spec.LeaseTransitions == 0 || got.Labels[v1alpha1.LabelBridge] != "x" {
		t.Errorf("the Lease is %+v", got)
	}
}

func TestLeaseOfTheDead(t *testing.T) {
	l := leaseOf(t, "one")
	if err := l.take(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		edit  func(*coordinationv1.Lease)
		force bool
		taken bool
	}{
		{name: "alive", edit: func(*coordinationv1.Lease) {}},
		{name: "forced", edit: func(*coordinationv1.Lease) {}, force: true, taken: true},
		{name: "expired", taken: true, edit: func(l *coordinationv1.Lease) {
			l.Spec.RenewTime = &metav1.MicroTime{Time: time.Now().Add(-2 * time.Minute)}
		}},
		{name: "ended on this host", taken: true, edit: func(l *coordinationv1.Lease) {
			dead := spool.Self()
			dead.Start = "1" // as long ago as can be: the number has been used again
			(&lease{self: dead}).mark(l)
		}},
		{name: "alive on this host", edit: func(l *coordinationv1.Lease) {
			l.Spec.HolderIdentity = nil
			(&lease{self: spool.Self()}).mark(l)
		}},
	} {
		current := l.stored(t)
		current.Spec.HolderIdentity = nil
		l.mark(current)
		tt.edit(current)
		if _, err := l.client.Update(t.Context(), current, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		err := leaseOf(t, "two").take(t.Context(), tt.force)
		if (err == nil) != tt.taken {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// A bridge whose last renewal was not answered lets go of its Lease all the same, and of no one else's.
func TestLeaseIsReleased(t *testing.T) {
	first, second := leaseOf(t, "one"), leaseOf(t, "two")
	if err := first.take(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	known := first.held
	if err := first.renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	first.held = known
	if err := first.release(t.Context()); err != nil {
		t.Error(err)
	}
	if err := second.take(t.Context(), false); err != nil {
		t.Errorf("after the release: %v", err)
	}
	if err := first.release(t.Context()); err != nil || holderOf(first.stored(t)) != "two/7-1" {
		t.Errorf("of another's: %v, it is held by %q", err, holderOf(first.stored(t)))
	}
	if err := first.client.Delete(t.Context(), first.name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := first.release(t.Context()); err != nil {
		t.Errorf("of one that is gone: %v", err)
	}
}

func TestLeaseIsKeptUntilAnotherTakesIt(t *testing.T) {
	first, second := leaseOf(t, "one"), leaseOf(t, "two")
	if err := first.take(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- first.keep(t.Context()) }()
	begun := renewTime(first.stored(t))
	wait(t, "a renewal", func() bool { return renewTime(first.stored(t)).After(begun) })
	if err := first.client.Delete(t.Context(), first.name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	wait(t, "the Lease to be made again", func() bool {
		got, err := first.client.Get(t.Context(), first.name, metav1.GetOptions{})
		return err == nil && holderOf(got) == "one/7-1"
	})
	if err := second.take(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if held := (*heldError)(nil); !errors.As(<-ended, &held) || held.holder != "two/7-1" {
		t.Errorf("it ended with %v", held)
	}
	if got := holderOf(second.stored(t)); got != "two/7-1" {
		t.Errorf("the holder is %s", got)
	}
}
