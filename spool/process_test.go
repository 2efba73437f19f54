package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// processOf names another process as it would name itself.
func processOf(t *testing.T, pid int) Process {
	t.Helper()
	p := Self()
	_, started, err := processStat(pid)
	must(t, err)
	p.PID, p.Start = pid, started
	return p
}

func TestProcessGone(t *testing.T) {
	t.Setenv(PodVariable, "mine")
	if Self().Start == "" || Self().BootID == "" {
		t.Skip("skipped: no /proc here, so no process can tell of another")
	}
	alive := start(t, "wait")
	alive.line()
	other := processOf(t, alive.cmd.Process.Pid)
	strange := start(t, "wait", ") Z 1 (2 3)\n4")
	strange.line()
	if name := read(t, fmt.Sprintf("/proc/%d/comm", strange.cmd.Process.Pid)); !strings.HasPrefix(name, ") Z 1 (2") {
		t.Fatalf("the process is called %q", name)
	}
	changed := func(change func(*Process)) Process {
		p := other
		change(&p)
		return p
	}
	dead := start(t, "wait")
	dead.line()
	reaped := processOf(t, dead.cmd.Process.Pid)
	dead.kill()

	for name, c := range map[string]struct {
		p    Process
		want bool
	}{
		"this process":              {Self(), false},
		"a process that runs":       {other, false},
		"one with a strange name":   {processOf(t, strange.cmd.Process.Pid), false},
		"one that was reaped":       {reaped, true},
		"its number is another's":   {changed(func(p *Process) { p.Start = "1" }), true},
		"another host":              {changed(func(p *Process) { p.BootID = "another"; p.PID = 1 << 30 }), false},
		"the host before it booted": {changed(func(p *Process) { p.BootID = "before"; p.Start = "1" }), false},
		"another pid namespace":     {changed(func(p *Process) { p.PIDNamespace, p.Pod, p.Start = "pid:[1]", "", "1" }), false},
		"another Pod":               {changed(func(p *Process) { p.PIDNamespace, p.Pod = "pid:[1]", "another" }), false},
		"another host's Pod":        {changed(func(p *Process) { p.PIDNamespace, p.BootID = "pid:[1]", "another" }), false},
		"the last of its container": {changed(func(p *Process) { p.PIDNamespace = "pid:[1]" }), true},
		"start unknown":             {changed(func(p *Process) { p.Start = ""; p.PID = 1 << 30 }), false},
		"host unknown":              {changed(func(p *Process) { p.BootID = ""; p.PID = 1 << 30 }), false},
		"host renamed":              {changed(func(p *Process) { p.Host = "renamed"; p.Start = "1" }), true},
		"never there":               {changed(func(p *Process) { p.PID = 1 << 30 }), true},
	} {
		if got := c.p.Gone(); got != c.want {
			t.Errorf("%s: Gone is %t", name, got)
		}
	}

	must(t, alive.cmd.Process.Kill()) // and not waited for: a zombie
	eventually(t, "the killed process to count as gone", other.Gone)
	if state, _, err := processStat(other.PID); err != nil || state != "Z" {
		t.Fatalf("the process is in state %q, %v: no zombie was tested", state, err)
	}
}

// TestProcessGoneHidden looks at a live process of somebody else through a /proc that does not show it.
func TestProcessGoneHidden(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: only root can mount a /proc that hides processes")
	}
	data, err := json.Marshal(Self())
	must(t, err)
	cmd := command(t, "hidden", string(data))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	c := startCommand(t, cmd)
	switch answer := c.line(); {
	case strings.HasPrefix(answer, "cannot"):
		t.Skip("skipped:", answer)
	case answer != "false":
		t.Fatalf("a live process that /proc hides is taken for gone: %s", answer)
	}
	c.end()
}

func roleHidden(args []string) error {
	var p Process
	if err := json.Unmarshal([]byte(args[0]), &p); err != nil {
		return err
	}
	err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
	if err == nil {
		err = syscall.Mount("proc", "/proc", "proc", 0, "hidepid=2")
	}
	if err != nil {
		say("cannot mount a /proc that hides processes: %v", err)
		return nil
	}
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
		return err
	}
	if _, _, err := processStat(p.PID); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("/proc does not hide process %d: %w", p.PID, err)
	}
	if Self().Start == "" {
		return errors.New("/proc hides its reader, too")
	}
	say("%t", p.Gone())
	return nil
}
