package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tigerflow.dev/tigerflow/spool"
)

// With durability Fsync no output has its name before its data is on disk, nor is it in the journal before the folder is.
func TestSyncsBeforePublishing(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("there is no strace to watch the order of system calls with: use make test, which installs it")
		}
		t.Skip("there is no strace to watch the order of system calls with")
	}
	s, _ := newTask(t, func(s *spool.Spec) { s.Durability = spool.Fsync })
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := command(t, "run", "--spool", s.Path(), "--id", "w.0.r0", "--idle-timeout", "50ms")
	cmd.Args = slices.Concat([]string{strace, "-f", "-y", "-e", "trace=fsync,renameat2,linkat,pwrite64", "-o", trace}, cmd.Args)
	cmd.Path = strace
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	content, err := os.ReadFile(trace)
	must(t, err)
	published, problems := readTrace(string(content), string(s.Spec().OutputDir))
	for _, problem := range problems {
		t.Error(problem)
	}
	if published != files {
		t.Errorf("the trace shows %d files published, want %d", published, files)
	}
}

var (
	synced    = regexp.MustCompile(`^fsync\(\d+<(.*)>\)? `)
	publishes = regexp.MustCompile(`^(?:renameat2|linkat)\([^"]*"([^"]*)", [^"]*"([^"]*\.out)"`)
	journals  = regexp.MustCompile(`^pwrite64\(\d+<[^>]*/journal\.jsonl>, ".*done`)
)

// readTrace goes through the calls in the order in which they ended, for a sync, or began, for what must come behind it.
func readTrace(trace, outputDir string) (published int, problems []string) {
	pending, safe := map[string]string{}, map[string]bool{}
	folderSafe := true
	for line := range strings.Lines(trace) {
		pid, call, _ := strings.Cut(line, " ")
		call = strings.TrimSpace(call)
		if strings.HasSuffix(call, "<unfinished ...>") && strings.HasPrefix(call, "fsync") {
			pending[pid] = call
			continue
		}
		if strings.HasPrefix(call, "<... fsync resumed>") {
			call = pending[pid]
		}
		if m := synced.FindStringSubmatch(call); m != nil {
			safe[m[1]] = true
			folderSafe = folderSafe || m[1] == outputDir
		} else if m := publishes.FindStringSubmatch(call); m != nil {
			published++
			folderSafe = false
			if !safe[m[1]] {
				problems = append(problems, "published before its data was synced: "+m[2])
			}
		} else if journals.MatchString(call) && !folderSafe {
			problems = append(problems, "journaled before the folder was synced: "+call)
		}
	}
	return published, problems
}
