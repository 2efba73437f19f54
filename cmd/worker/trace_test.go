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
	s, _ := newTask(t, func(s *spool.Spec) { s.Durability = spool.Fsync })
	trace := traceWorker(t, s, "fsync,renameat2,linkat,pwrite64")
	published, problems := readTrace(trace, string(s.Spec().OutputDir))
	for _, problem := range problems {
		t.Error(problem)
	}
	if published != files {
		t.Errorf("the trace shows %d files published, want %d", published, files)
	}
}

// traceWorker has a worker do all of a Task, and returns the named system calls of it and its threads.
func traceWorker(t *testing.T, s *spool.Spool, calls string) string {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("there is no strace to watch system calls with: use make test, which installs it")
		}
		t.Skip("there is no strace to watch system calls with")
	}
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := command(t, "run", "--spool", s.Path(), "--id", s.ID()+".0.r0", "--idle-timeout", "50ms")
	cmd.Args = slices.Concat([]string{strace, "-f", "-y", "-e", "trace=" + calls, "-o", trace}, cmd.Args)
	cmd.Path = strace
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	content, err := os.ReadFile(trace)
	must(t, err)
	return string(content)
}

// A file costs a metadata server little: its input is opened, its temporary made, opened, looked at and renamed, and with
// Fsync opened once more to be synced. What a worker does once, or once a batch, comes on top.
func TestMetadataOperationsOfAFile(t *testing.T) {
	metadata := "?open,openat,?stat,?lstat,?newfstatat,?statx,?access,?faccessat,?faccessat2,?mkdir,?mkdirat," +
		"?rename,?renameat,renameat2,?link,linkat,?unlink,unlinkat,?chmod,?fchmodat,?utimensat,getdents64"
	for durability, most := range map[spool.Durability]float64{spool.None: 5, spool.Fsync: 6} {
		t.Run(string(durability), func(t *testing.T) {
			s, _ := newTask(t, func(s *spool.Spec) { s.Durability = durability })
			var ofFiles int
			trace := traceWorker(t, s, metadata)
			for line := range strings.Lines(trace) {
				if strings.Contains(line, ".txt\"") || strings.Contains(line, ".out\"") {
					ofFiles++
				}
			}
			t.Logf("%d operations on the names of %d files, %d in all", ofFiles, files, strings.Count(trace, "\n"))
			if each := float64(ofFiles) / files; each < 3 || each > most {
				t.Errorf("%.2f metadata operations a file, want at most %g", each, most)
			}
		})
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
