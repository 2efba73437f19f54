package tether

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// process is what /proc says of one living process of this user.
type process struct {
	identity
	parent, session int
	command         string
	cookie          string // the id of the worker it descends from, or ""
}

// identity names a process for good, as its pid alone does not.
type identity struct {
	pid     int
	started uint64 // clock ticks since boot
}

const procRoot = "/proc"

// processes lists the living processes of this user. One that ends meanwhile is left out.
func processes() ([]process, error) {
	names, err := readNames(procRoot)
	if err != nil {
		return nil, err
	}
	var all []process
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || !ours(pid) {
			continue
		}
		p, alive, err := inspect(pid)
		if err != nil {
			return nil, err
		}
		if alive {
			all = append(all, p)
		}
	}
	return all, nil
}

func readNames(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

func ours(pid int) bool {
	info, err := os.Stat(procFile(pid, ""))
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

// inspect reads one process; alive is false if it has ended. A process that hides its environment has no cookie.
func inspect(pid int) (p process, alive bool, err error) {
	stat, err := os.ReadFile(procFile(pid, "stat"))
	if gone(err) {
		return process{}, false, nil
	}
	if err != nil {
		return process{}, false, err
	}
	p, alive, err = parseStat(stat)
	if err != nil || !alive {
		return process{}, false, err
	}
	environ, err := os.ReadFile(procFile(pid, "environ"))
	if err != nil && !gone(err) && !errors.Is(err, fs.ErrPermission) {
		return process{}, false, err
	}
	p.cookie = cookieOf(environ)
	return p, true, nil
}

func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}

func procFile(pid int, name string) string {
	return filepath.Join(procRoot, strconv.Itoa(pid), name)
}

// parseStat reads /proc/PID/stat. The command stands in parentheses and may contain anything, parentheses included.
func parseStat(stat []byte) (p process, alive bool, err error) {
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return process{}, false, fmt.Errorf("reading a process: no command in %q", stat)
	}
	before, fields := bytes.TrimSpace(stat[:open]), bytes.Fields(stat[end+1:])
	if len(fields) < 20 { // proc(5) counts the pid as field 1: what is fields[0] here is its field 3
		return process{}, false, fmt.Errorf("reading a process: too few fields in %q", stat)
	}
	p.command = string(stat[open+1 : end])
	var threads int
	for _, number := range []struct {
		text []byte
		into *int
	}{{before, &p.pid}, {fields[1], &p.parent}, {fields[3], &p.session}, {fields[17], &threads}} {
		if *number.into, err = strconv.Atoi(string(number.text)); err != nil {
			return process{}, false, fmt.Errorf("reading a process: %w", err)
		}
	}
	if p.started, err = strconv.ParseUint(string(fields[19]), 10, 64); err != nil {
		return process{}, false, fmt.Errorf("reading a process: %w", err)
	}
	// A process may be a zombie in name, its first thread's, while other threads have yet to close their files.
	state := string(fields[0])
	return p, state != "Z" && state != "X" || threads > 1, nil
}

// cookieOf finds the worker's id in an environment as /proc/PID/environ has it.
func cookieOf(environ []byte) string {
	for entry := range bytes.SplitSeq(environ, []byte{0}) {
		if id, ok := bytes.CutPrefix(entry, []byte(CookieEnv+"=")); ok {
			return string(id)
		}
	}
	return ""
}

// kill sends SIGKILL unless the pid has come to mean another process. Where the kernel has pidfds, os.Process holds
// one, so that comparing and killing are about the same process.
func (p process) kill() {
	handle, err := os.FindProcess(p.pid)
	if err != nil {
		return
	}
	now, alive, err := inspect(p.pid)
	if err == nil && alive && now.identity == p.identity {
		_ = handle.Kill() // whether it worked is seen by looking again
	}
	_ = handle.Release()
}
