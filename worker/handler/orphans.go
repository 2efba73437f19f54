package handler

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

var (
	// forking is held for reading while a child is started: its number is not known yet.
	forking sync.RWMutex
	// started has the numbers of the children that this package has started and waits for.
	started sync.Map
)

// ReapOrphans waits for the dead among the children that this process has not started but inherited, as a subreaper or process 1:
// what user code leaves in the background would else keep its number until the worker ends. In a process that calls it all
// children are started by this package.
func ReapOrphans() {
	if !forking.TryLock() { // next time: to wait would keep others from starting
		return
	}
	defer forking.Unlock()
	lists, _ := filepath.Glob("/proc/self/task/*/children") // a kernel without has them wait for the worker's end
	for _, list := range lists {
		content, err := os.ReadFile(list)
		if err != nil {
			continue // the thread has ended
		}
		for number := range strings.FieldsSeq(string(content)) {
			pid, err := strconv.Atoi(number)
			if _, ours := started.Load(pid); err == nil && !ours {
				_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
			}
		}
	}
}
