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
	if calls, err := systemCalls(b.ctx, []int{pid}, "all", watch/3); err == nil {
		i.note += fmt.Sprintf(", %.1f system calls a second", float64(calls.sum())/(watch/3).Seconds())
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

// systemCalls counts those of processes and what they start, by name. Which is what strace -e trace= takes.
func systemCalls(ctx context.Context, pids []int, which string, watch time.Duration) (tally, error) {
	var table bytes.Buffer
	args := []string{"-f", "-c", "-U", "calls,name", "-e", "trace=" + which}
	for _, pid := range pids {
		args = append(args, "-p", strconv.Itoa(pid))
	}
	cmd := exec.CommandContext(ctx, "strace", args...)
	cmd.Stderr = &table
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
	case <-time.After(watch):
	}
	_ = cmd.Process.Signal(syscall.SIGINT) // it may have failed already: the table tells
	_ = cmd.Wait()
	t := tally{}
	for line := range strings.Lines(table.String()) {
		fields := strings.Fields(line)
		if len(fields) != 2 || fields[1] == "total" {
			continue
		}
		if n, err := strconv.Atoi(fields[0]); err == nil { // else it is the head
			t[fields[1]] = n
		}
	}
	if !strings.Contains(table.String(), "attached") {
		return nil, fmt.Errorf("strace: %s", table.String())
	}
	return t, nil
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
