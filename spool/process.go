package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// Process names a process so that another on the same host can tell whether it still runs.
type Process struct {
	Host         string `json:"host"`
	BootID       string `json:"bootId,omitempty"`
	PIDNamespace string `json:"pidNamespace,omitempty"`
	Pod          string `json:"pod,omitempty"` // the uid of the Pod whose only process of this program it is
	PID          int    `json:"pid"`
	Start        string `json:"start,omitempty"` // in clock ticks after boot, /proc/PID/stat field 22
}

// PodVariable has the uid of the Pod in the environment of a program whose only process there it is.
const PodVariable = "TIGERFLOW_POD_UID"

// Self names the calling process.
func Self() Process {
	host, _ := os.Hostname()
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	ns, _ := os.Readlink("/proc/self/ns/pid")
	pid := os.Getpid()
	_, start, _ := processStat(pid) // empty where there is no /proc: then nobody can tell, and waits
	return Process{Host: host, BootID: strings.TrimSpace(string(boot)), PIDNamespace: ns, Pod: os.Getenv(PodVariable), PID: pid, Start: start}
}

func (p Process) String() string { return fmt.Sprintf("process %d on %s", p.PID, p.Host) }

// Gone reports that the process has certainly ended. It is false for whatever cannot be seen from here: processes of
// other hosts and of other pid namespaces. Of the same Pod it must have been the one before: a container is started again when
// its last process has ended.
func (p Process) Gone() bool {
	self := Self()
	if p.Pod != "" && p.Pod == self.Pod && p.BootID == self.BootID && p.PIDNamespace != self.PIDNamespace {
		return true
	}
	if p.Start == "" || p.BootID == "" || p.BootID != self.BootID || p.PIDNamespace != self.PIDNamespace {
		return false
	}
	state, start, err := processStat(p.PID)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		// A /proc mounted with hidepid, as login nodes have it, hides the processes of others; kill(2) still tells.
		return errors.Is(syscall.Kill(p.PID, 0), syscall.ESRCH)
	}
	return err == nil && (start != p.Start || state == "Z" || state == "X")
}

// processStat reads state and start of a process as proc_pid_stat(5) has them.
func processStat(pid int) (state, start string, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", "", err
	}
	end := bytes.LastIndexByte(stat, ')') // the name in parentheses may hold any byte
	fields := bytes.Fields(stat[end+1:])
	if len(fields) < 20 {
		return "", "", fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	return string(fields[0]), string(fields[19]), nil
}
