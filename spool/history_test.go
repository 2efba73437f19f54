package spool

import (
	"slices"
	"testing"
)

// TestHistoryLate: that an earlier epoch was closed, which clients may be shown late, says nothing of the present one: when that is
// superseded it is read on.
func TestHistoryLate(t *testing.T) {
	s := newSpool(t)
	take := func(epoch int) *Lock {
		l, err := (&Contender{Spool: s, Owner: testOwner, TakeOver: true}).Try()
		return wantEpoch(t, l, err, epoch)
	}
	say := func(l *Lock, e Entry) {
		must(t, l.Append(e))
		must(t, l.Flush())
	}
	var told []Name
	h := s.History()
	read := func() {
		must(t, h.Read(func(e Entry) error { told = append(told, e.Done...); return nil }))
	}
	first := take(1)
	read()
	second := take(2)
	read()
	say(first, Entry{Kind: EntryClosed})
	read()
	third := take(3)
	read()
	say(second, Entry{Kind: EntryFold, Done: []Name{"late"}})
	say(third, Entry{Kind: EntryFold, Done: []Name{"now"}})
	read()
	if want := []Name{"late", "now"}; !slices.Equal(told, want) {
		t.Errorf("it tells %q, want %q", told, want)
	}
}
