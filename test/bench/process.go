package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// idleness is what a process costs that has nothing to do.
type idleness struct {
	percent float64 // of a core
	note    string
}

// idle watches a process: its processor time for so long, then its system calls, if strace is there, for a third of that.
func (b *bench) idle(pid int, watch time.Duration) (idleness, error) {
	before, err := onCPU(pid)
	if err != nil {
		return idleness{}, err
	}
	select {
	case <-b.ctx.Done():
		return idleness{}, b.ctx.Err()
	case <-time.After(watch):
	}
	after, err := onCPU(pid)
	if err != nil {
		return idleness{}, err
	}
	used := after - before
	i := idleness{percent: 100 * used.Seconds() / watch.Seconds()}
	i.note = fmt.Sprintf("%s in %s", used.Round(100*time.Microsecond), watch)
	if n, err := systemCalls(b.ctx, pid, watch/3); err == nil {
		i.note += fmt.Sprintf(", %.1f system calls a second", float64(n)/(watch/3).Seconds())
	}
	return i, nil
}

// onCPU is the processor time of a process's present threads, from /proc/PID/task/TID/schedstat: proc_pid_stat(5) counts
// in hundredths of a second, which is too coarse for idling.
func onCPU(pid int) (time.Duration, error) {
	list, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("process %d: %w", pid, fs.ErrNotExist)
	}
	var total time.Duration
	for _, path := range list {
		stat, readErr := os.ReadFile(path)
		if readErr != nil {
			return 0, readErr
		}
		first, _, _ := strings.Cut(string(stat), " ")
		ns, parseErr := strconv.ParseInt(first, 10, 64)
		err = errors.Join(err, parseErr)
		total += time.Duration(ns)
	}
	return total, err
}

// systemCalls counts those of a process and what it starts. The figure is the last line of strace's table.
func systemCalls(ctx context.Context, pid int, watch time.Duration) (int, error) {
	var table bytes.Buffer
	cmd := exec.CommandContext(ctx, "strace", "-f", "-c", "-U", "calls", "-p", strconv.Itoa(pid))
	cmd.Stderr = &table
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	select {
	case <-ctx.Done():
	case <-time.After(watch):
	}
	_ = cmd.Process.Signal(syscall.SIGINT) // it may have failed already: the table tells
	_ = cmd.Wait()
	lines := strings.Split(strings.TrimSpace(table.String()), "\n")
	return strconv.Atoi(strings.Fields(lines[len(lines)-1])[0])
}

// statusKiB is a size from /proc/PID/status.
func statusKiB(pid int, field string) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, field+":"); ok {
			return strconv.ParseInt(strings.Fields(text)[0], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s of process %d: %w", field, pid, fs.ErrNotExist)
}
