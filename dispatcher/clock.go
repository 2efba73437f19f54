package dispatcher

import (
	"io/fs"
	"syscall"
	"time"
)

// fsClock is the clock that gives inputs their times. A network file system has the server's, which may be minutes from
// ours, so it is read off a file just written; that holds for inputs on the same device. A local one has this host's.
type fsClock struct {
	device uint64 // of the spool
	at     time.Time
	read   time.Time // when at was read, by this host's monotonic clock
}

func (c *fsClock) set(at, read time.Time) { c.at, c.read = at, read }

// on is what the clock of the device of info shows at a time of ours; false if it cannot be known.
func (c *fsClock) on(info fs.FileInfo, local bool, now time.Time) (time.Time, bool) {
	switch stat, ok := info.Sys().(*syscall.Stat_t); {
	case ok && stat.Dev == c.device && !c.at.IsZero():
		return c.at.Add(now.Sub(c.read)), true
	case local:
		return now, true
	}
	return time.Time{}, false
}

func deviceOf(info fs.FileInfo) uint64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Dev
	}
	return 0
}
