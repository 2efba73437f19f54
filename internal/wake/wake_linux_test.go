package wake

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func newWatcher(t *testing.T) *Watcher {
	t.Helper()
	w := New()
	if w.fs == nil {
		t.Skip("the system gives no more inotify instances")
	}
	t.Cleanup(w.Close)
	return w
}

// hint waits until there is one.
func hint(t *testing.T, w *Watcher) {
	t.Helper()
	select {
	case <-w.C():
	case <-time.After(2 * time.Minute):
		t.Fatal("there is no hint")
	}
}

// until waits for arrivals until all these are among them, and returns all.
func until(t *testing.T, w *Watcher, want ...string) []string {
	t.Helper()
	var got []string
	missing := func(path string) bool { return !slices.Contains(got, path) }
	for slices.ContainsFunc(want, missing) {
		hint(t, w)
		got = append(got, w.Arrived()...)
	}
	return got
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
}

func TestHints(t *testing.T) {
	w, dir := newWatcher(t), t.TempDir()
	file := filepath.Join(dir, "journal")
	put(t, file, "")
	w.Add(file)
	w.Add(filepath.Join(dir, "absent"))
	for i := range 3 {
		put(t, file, fmt.Sprint(i))
		hint(t, w)
	}
	if got := w.Arrived(); len(got) != 0 {
		t.Errorf("arrived: %q", got)
	}
}

// TestArrivals: what is moved in, or closed by a writer, is named; what is still being written is not.
func TestArrivals(t *testing.T) {
	w, dir := newWatcher(t), t.TempDir()
	inbox := filepath.Join(dir, "in")
	if err := os.Mkdir(inbox, 0o777); err != nil {
		t.Fatal(err)
	}
	w.AddInbox(inbox)
	in := func(name string) string { return filepath.Join(inbox, name) }
	open, err := os.Create(in("open"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open.WriteString("half"); err != nil {
		t.Fatal(err)
	}
	hint(t, w)
	put(t, filepath.Join(dir, "made elsewhere"), "x")
	if err := os.Rename(filepath.Join(dir, "made elsewhere"), in("moved\n\xff")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "folder"), in("folder")); err != nil {
		t.Fatal(err)
	}
	put(t, in("written"), "x")
	got := until(t, w, in("moved\n\xff"), in("written"))
	if slices.Contains(got, in("open")) || slices.Contains(got, in("folder")) {
		t.Errorf("arrived: %q", got)
	}
	if err := open.Close(); err != nil {
		t.Fatal(err)
	}
	until(t, w, in("open"))
}

// TestFolderIsReplaced: the new folder of a name is watched, the old one is not any more.
func TestFolderIsReplaced(t *testing.T) {
	w, dir := newWatcher(t), t.TempDir()
	inbox, old := filepath.Join(dir, "in"), filepath.Join(dir, "old")
	for range 3 {
		if err := os.Mkdir(inbox, 0o777); err != nil {
			t.Fatal(err)
		}
		w.AddInbox(inbox)
		put(t, filepath.Join(inbox, "a"), "x")
		until(t, w, filepath.Join(inbox, "a"))
		if err := os.RemoveAll(old); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(inbox, old); err != nil {
			t.Fatal(err)
		}
	}
	w.inbox.mu.Lock()
	defer w.inbox.mu.Unlock()
	if len(w.inbox.folders) > 1 { // the watch of one that was removed may still be on its way out
		t.Errorf("watched: %v", w.inbox.folders)
	}
}

// TestManyArrivals: nobody asks, and memory has a bound.
func TestManyArrivals(t *testing.T) {
	b := newInbox()
	if b == nil {
		t.Skip("the system gives no more inotify instances")
	}
	defer b.close()
	b.folders[1] = "/in"
	for i := range most + 10 {
		b.event(1, whole, fmt.Appendf(nil, "%d\x00\x00", i))
	}
	if got := b.take(); len(got) != most || got[most-1] != fmt.Sprint("/in/", most-1) {
		t.Errorf("%d are kept, the last is %q", len(got), got[len(got)-1])
	}
}

func TestClosedWatcher(t *testing.T) {
	w := newWatcher(t)
	w.Close()
	w.Add(t.TempDir())
	w.Remove("nothing")
	if got := w.Arrived(); len(got) != 0 {
		t.Errorf("arrived: %q", got)
	}
}
