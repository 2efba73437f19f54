package worker

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tigerflow.dev/tigerflow/spool"
)

// What user code leaves in the place of output_file.
func TestOutputs(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		failure      string // its type; empty if there is to be an output
		content      string
	}{
		{"written", ok, "", "ok"},
		{"placeholder", "pass", "", ""},
		{"removed", "output_file.unlink()", spool.FailureOutputRemoved, ""},
		{"folder", "output_file.unlink(); output_file.mkdir(); (output_file / 'x').touch()", spool.FailureOutputNotAFile, ""},
		{"link", "output_file.unlink(); output_file.symlink_to('/etc/passwd')", spool.FailureOutputNotAFile, ""},
		{"pipe", "output_file.unlink(); os.mkfifo(output_file)", spool.FailureOutputNotAFile, ""},
		{"elsewhere", "Path(str(output_file) + '.npy').write_text('x')", spool.FailureOutputElsewhere, ""},
		{"other suffix", "output_file.with_suffix('.h5').write_text('x')", spool.FailureOutputElsewhere, ""},
		{"beside", "Path(str(output_file) + '.aux').write_text('x')\n" + ok, "", "ok"},
		{"replaced", "p = output_file.with_suffix('.part'); p.write_text('new'); os.replace(p, output_file)", "", "new"},
		{"without rights", ok + "\noutput_file.chmod(0o400)", "", "ok"},
	} {
		for _, durability := range []spool.Durability{spool.None, spool.Fsync} {
			t.Run(tt.name+" "+string(durability), func(t *testing.T) {
				r := newRig(t, func(s *spool.Spec) { s.Durability = durability })
				r.feed("a", tt.script)
				w := r.start(nil)
				w.ends(spool.ExitIdle)
				if tt.failure == "" {
					w.wantFiles("done", "a")
					if got := r.read("out/a.out"); got != tt.content {
						t.Errorf("the output is %q, want %q", got, tt.content)
					}
				} else {
					w.wantFiles("failed", "a")
					if f := w.failure(spool.EventFailed); f.Type != tt.failure {
						t.Errorf("the failure is %+v, want %s", f, tt.failure)
					}
				}
				if left, err := filepath.Glob(filepath.Join(r.spool.Path(), "workers", w.id, "tmp", "*")); err != nil || len(left) > 0 {
					t.Errorf("left in tmp: %v %v", left, err)
				}
			})
		}
	}
}

func TestOutputModes(t *testing.T) {
	old := syscall.Umask(0o027)
	defer syscall.Umask(old)
	root := t.TempDir()
	must(t, os.Mkdir(filepath.Join(root, "out"), 0o777))
	group := os.Getegid()
	if os.Geteuid() == 0 { // a group that is not the process's own
		group = 12345
		must(t, os.Chown(filepath.Join(root, "out"), -1, group))
	}
	must(t, os.Chmod(filepath.Join(root, "out"), fs.ModeSetgid|0o770))
	r := newRigIn(t, root, nil)
	r.feed("usual", ok, "own", ok+"\noutput_file.chmod(0o604)")
	r.start(nil).ends(spool.ExitIdle)
	for name, mode := range map[string]fs.FileMode{"usual": 0o640, "own": 0o604} {
		info, err := os.Stat(r.path("out", name+".out"))
		must(t, err)
		if info.Mode().Perm() != mode {
			t.Errorf("%s: mode %v, want %v", name, info.Mode().Perm(), mode)
		}
		if gid := int(info.Sys().(*syscall.Stat_t).Gid); gid != group {
			t.Errorf("%s: group %d, want %d of the folder", name, gid, group)
		}
	}
}

func TestNames(t *testing.T) {
	for _, durability := range []spool.Durability{spool.None, spool.Fsync} {
		t.Run(string(durability), func(t *testing.T) {
			r := newRig(t, func(s *spool.Spec) { echo(s); s.OutputExt = ".output"; s.Durability = durability })
			stems := []string{"with space", "line\nbreak", "\xff\xfe", `quote"back\slash`, "größe", "-dash", ".hidden", "a.b", strings.Repeat("x", 255-len(".output"))}
			tooLong := strings.Repeat("y", 255-len(".txt"))
			var batch spool.Batch
			for _, stem := range append(stems, tooLong) {
				r.write(filepath.Join("in", stem+".txt"), stem)
				batch.Files = append(batch.Files, spool.Name(stem+".txt"))
			}
			r.feedBatch(batch)
			w := r.start(nil)
			w.ends(spool.ExitIdle)
			for _, stem := range stems {
				if got := r.read(filepath.Join("out", stem+".output")); got != stem {
					t.Errorf("%q: got %q", stem, got)
				}
			}
			if f := w.failure(spool.EventFailed); f.Type != spool.FailureOutputName {
				t.Errorf("the failure is %+v, want OutputName", f)
			}
			if failed := w.files(spool.EventFailed); failed != tooLong {
				t.Errorf("failed: %q", failed)
			}
		})
	}
}

// TestOutputsInFolders: they lie in the folders that their inputs lie in. What stands in the way is the file's failure.
func TestOutputsInFolders(t *testing.T) {
	for _, durability := range []spool.Durability{spool.None, spool.Fsync} {
		t.Run(string(durability), func(t *testing.T) {
			r := newRig(t, func(s *spool.Spec) { echo(s); s.Recursive = true; s.Durability = durability })
			names := []spool.Name{"a/b/c.txt", "a/d.txt", "e.txt"}
			for _, name := range append(names, "taken.txt") {
				must(t, os.MkdirAll(filepath.Dir(r.path(filepath.Join("in", string(name)))), 0o777))
				r.write(filepath.Join("in", string(name)), string(name))
			}
			must(t, os.Mkdir(r.path("out/taken.out"), 0o777))
			r.feedBatch(spool.Batch{Files: append(names, "taken.txt")})
			w := r.start(nil)
			w.ends(spool.ExitIdle)
			for _, name := range names {
				if got := r.read(filepath.Join("out", strings.TrimSuffix(string(name), ".txt")+".out")); got != string(name) {
					t.Errorf("%q: got %q", name, got)
				}
			}
			if f := w.failure(spool.EventFailed); f.Type != spool.FailureOutputName || w.files(spool.EventFailed) != "taken" {
				t.Errorf("%q failed with %+v", w.files(spool.EventFailed), f)
			}
		})
	}
}
