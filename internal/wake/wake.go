// Package wake turns file system notifications into hints: look now, or this file is whole. Hints come late, doubled or –
// from other hosts of a network file system – never, so whoever uses one polls as well.
package wake

import (
	"sync"

	"github.com/fsnotify/fsnotify"
)

// Watcher gives hints about some files and folders. The zero Watcher gives none.
type Watcher struct {
	c     chan struct{}
	fs    *fsnotify.Watcher // nil if the system gave none, as when its limit of inotify instances is reached
	inbox *inbox            // nil until there is a folder whose arrivals are told, and if the system gives none
	done  sync.WaitGroup
}

// New makes a Watcher. It never fails: without notifications there are just no hints.
func New() *Watcher {
	w := &Watcher{c: make(chan struct{}, 1)}
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		return w
	}
	w.fs = fs
	w.done.Go(w.run)
	return w
}

// C has a hint when something has changed since the last one was taken.
func (w *Watcher) C() <-chan struct{} { return w.c }

// Add watches a file or a folder, as far as the system lets it.
func (w *Watcher) Add(path string) {
	if w.fs != nil {
		_ = w.fs.Add(path) // polling finds what it would have hinted at
	}
}

// Remove ends watching a path.
func (w *Watcher) Remove(path string) {
	if w.fs != nil {
		_ = w.fs.Remove(path)
	}
}

// AddInbox watches a folder into which others put files. Hints come of files that come, not of each write to them, and
// Arrived names those that are whole. AddInbox, Arrived and Close are for one goroutine.
func (w *Watcher) AddInbox(folder string) {
	if w.fs == nil {
		return
	}
	if w.inbox == nil {
		if w.inbox = newInbox(); w.inbox == nil {
			return
		}
		w.done.Go(func() { w.inbox.run(w.hint) })
	}
	w.inbox.add(folder)
}

// Arrived gives the files that were moved into inboxes, or closed there by a writer, since the last call. Some may be
// missing, and some may be gone.
func (w *Watcher) Arrived() []string {
	if w.inbox == nil {
		return nil
	}
	return w.inbox.take()
}

// Close ends the Watcher.
func (w *Watcher) Close() {
	if w.fs != nil {
		_ = w.fs.Close() // it has nothing to lose
	}
	if w.inbox != nil {
		w.inbox.close()
	}
	w.done.Wait()
}

func (w *Watcher) run() {
	for {
		select {
		case _, ok := <-w.fs.Events:
			if !ok {
				return
			}
		case _, ok := <-w.fs.Errors: // an overflow: something changed
			if !ok {
				return
			}
		}
		w.hint()
	}
}

func (w *Watcher) hint() {
	select {
	case w.c <- struct{}{}:
	default:
	}
}
