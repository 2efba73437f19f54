package e2e

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/spool/spooltest"
)

// Names are bytes: whatever a file system takes comes out as it went in.
func TestOddNames(t *testing.T) {
	w := newWork(t)
	names := []string{
		"with space.txt", "new\nline.txt", "tab\t.txt", "quote\"'.txt", "\xff\xfe invalid.txt", "-rf.txt", "$HOME.txt", "{input}.txt", "*.txt",
		".hidden.txt", "ünïcödé 世界.txt", "two.dots.txt", strings.Repeat("x", 251) + ".txt",
	}
	for _, name := range names {
		w.put(name, "content of "+name)
	}
	for _, spec := range []string{
		`{handler: {builtin: echo}}`,
		`{handler: {command: [cp, --, "{input}", "{output}"]}}`,
		`{handler: {python: {module: m.py}}}`,
	} {
		module("class T(LocalTask):\n    @staticmethod\n    def run(context, i, o): o.write_bytes(i.read_bytes())\n")(w)
		w.task(spec)
		w.good()
		for _, name := range names {
			w.output(name, "content of "+name)
		}
		w.must(os.RemoveAll(w.path("out")))
	}
}

// A name that is one byte too long for its output fails alone, and says so.
func TestOutputNameTooLong(t *testing.T) {
	w := newWork(t)
	long := strings.Repeat("x", 251) + ".txt"
	w.put(long, "x")
	w.put("short.txt", "x")
	w.task(`{handler: {builtin: echo}, output: {directory: out, extension: .text}}`)
	r := w.run("run", "t.yaml")
	if r.code != 1 || !strings.HasSuffix(r.stderr, "error: t: 1 of 2 files failed\n") || !strings.Contains(r.stdout, "file name too long") {
		t.Errorf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	w.output("short.text", "x")
	if errs, err := filepath.Glob(w.path("out", "x*.err")); len(errs) != 1 {
		t.Errorf("error files %q, %v", errs, err)
	}
}

// needRoot is for what only root can set up on a machine.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("this test needs root")
	}
	t.Skip("this test needs root")
}

const nobody = 65534

// asNobody runs the Task as an unprivileged user, to whom the workspace belongs.
func (w *work) asNobody() result {
	w.Helper()
	w.must(filepath.Walk(w.dir, func(path string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, nobody, nobody)
	}))
	cmd := w.command("run", "t.yaml")
	cmd.Env = append(os.Environ(), "HOME="+w.dir, "XDG_CACHE_HOME="+w.path("cache"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return w.finish(cmd)
}

// reachable lets other users pass the folders above the workspace, which the testing package keeps private.
func (w *work) reachable() {
	w.Helper()
	w.must(os.Chmod(filepath.Dir(w.dir), 0o755))
}

func TestUnreadableFiles(t *testing.T) {
	needRoot(t)
	w := newWork(t)
	w.reachable()
	w.put("good.txt", "x")
	w.put("secret.txt", "x")
	w.must(os.Chmod(w.path("in", "secret.txt"), 0))
	w.task(`{handler: {builtin: echo}}`)
	r := w.asNobody()
	if r.code != 1 || r.stderr != "error: t: 1 of 2 files failed\n" || !strings.Contains(r.stdout, `failed: "secret.txt": `) || !strings.Contains(r.stdout, "permission denied") {
		t.Errorf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	w.output("good.txt", "x")
}

func TestUnreadableInput(t *testing.T) {
	needRoot(t)
	w := newWork(t)
	w.reachable()
	w.must(os.Chmod(w.path("in"), 0))
	w.task(`{handler: {builtin: echo}}`)
	r := w.asNobody()
	want := "error: t: InputNotReadable: the input directory cannot be read: open " + w.path("in") + ": permission denied\n"
	if r.code != 2 || r.stderr != want {
		t.Errorf("exit code %d, stderr %q, want %q", r.code, r.stderr, want)
	}
}

func TestReadOnlyOutputFolder(t *testing.T) {
	needRoot(t)
	w := newWork(t)
	w.reachable()
	w.put("a.txt", "x")
	w.must(os.Mkdir(w.path("out"), 0o555))
	w.task(`{handler: {builtin: echo}}`)
	r := w.asNobody()
	want := "error: t: OutputNotWritable: making the spool: mkdir " + w.path("out", ".tigerflow") + ": permission denied: choose another output.directory or the rights to write there\n"
	if r.code != 2 || r.stderr != want {
		t.Errorf("exit code %d, stderr %q, want %q", r.code, r.stderr, want)
	}
}

// mount puts a tmpfs at out until the end of the test.
func (w *work) mount(flags uintptr, data string) {
	w.Helper()
	needRoot(w.T)
	w.must(os.Mkdir(w.path("out"), 0o777))
	if err := syscall.Mount("tmpfs", w.path("out"), "tmpfs", flags, data); err != nil {
		if os.Getenv("CI") == "true" {
			w.Fatalf("mounting a tmpfs: %v", err)
		}
		w.Skipf("a tmpfs cannot be mounted here: %v", err)
	}
	w.Cleanup(func() { w.must(syscall.Unmount(w.path("out"), syscall.MNT_DETACH)) })
}

func TestReadOnlyFileSystem(t *testing.T) {
	w := newWork(t)
	w.put("a.txt", "x")
	w.mount(syscall.MS_RDONLY, "")
	w.task(`{handler: {builtin: echo}}`)
	r := w.run("run", "t.yaml")
	want := "error: t: OutputNotWritable: making the spool: mkdir " + w.path("out", ".tigerflow") + ": read-only file system: choose another output.directory or the rights to write there\n"
	if r.code != 2 || r.stderr != want {
		t.Errorf("exit code %d, stderr %q, want %q", r.code, r.stderr, want)
	}
}

// A full disk stops the work and says so; with space it goes on by itself, and every file is done.
func TestDiskFull(t *testing.T) {
	w := newWork(t)
	const files = 40
	content := strings.Repeat("x", 100_000)
	for i := range files {
		w.put(numbered(i), content)
	}
	w.mount(0, "size=6m")
	w.must(os.WriteFile(w.path("out", "ballast"), bytes.Repeat([]byte("b"), 4<<20), 0o644))
	w.task(`{handler: {builtin: echo}}`)
	cmd := w.command("run", "t.yaml")
	stderr := w.file("stderr")
	cmd.Stderr = stderr
	w.must(cmd.Start())
	w.wait("StorageFull", func() bool {
		text, err := os.ReadFile(stderr.Name())
		w.must(err)
		return bytes.Contains(text, []byte("t: StorageFull: "))
	})
	if errs, err := filepath.Glob(w.path("out", "*.err")); len(errs) > 0 {
		t.Errorf("files failed for a full disk: %q, %v", errs, err)
	}
	w.must(os.Remove(w.path("out", "ballast")))
	if code := w.waitFor(cmd); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for i := range files {
		w.output(numbered(i), content)
	}
	spooltest.Check(t, spool.Dir(w.path("out"), "t")) // while it is mounted
	text, err := os.ReadFile(stderr.Name())
	w.must(err)
	for _, line := range lines(string(text)) {
		if !strings.Contains(line, "free space; no file is lost, work goes on by itself") && !strings.Contains(line, " files, ") {
			t.Errorf("stderr has the line %q", line)
		}
	}
}

// A disk that is full from the start is no mistake of the user's, and is told of once.
func TestFullFromTheStart(t *testing.T) {
	w := newWork(t)
	w.put("a.txt", "x")
	w.mount(0, "size=1m")
	if err := os.WriteFile(w.path("out", "ballast"), bytes.Repeat([]byte("b"), 2<<20), 0o644); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	full := func(task string) string {
		return "making the spool: write " + w.path("out", ".tigerflow", "tasks", task, "spool.json") + ": no space left on device: free space; no file is lost\n"
	}
	if r, want := w.finish(w.lone(nil, "echo")), "error: "+full("Echo"); r.code != 1 || r.stderr != want {
		t.Errorf("a lone task: exit code %d, stderr %q, want %q", r.code, r.stderr, want)
	}

	w.task(`{handler: {builtin: echo}}`)
	cmd := w.command("run", "t.yaml")
	stderr := w.file("stderr")
	cmd.Stderr = stderr
	w.must(cmd.Start())
	w.wait("a word of progress", func() bool {
		text, err := os.ReadFile(stderr.Name())
		w.must(err)
		return bytes.Contains(text, []byte("0 of 0 files"))
	})
	w.must(os.Remove(w.path("out", "ballast")))
	if code := w.waitFor(cmd); code != 0 {
		t.Errorf("exit code %d", code)
	}
	w.output("a.txt", "x")
	text, err := os.ReadFile(stderr.Name())
	w.must(err)
	if want := "t: StorageFull: " + full("t"); strings.Count(string(text), "StorageFull") != 1 || !strings.Contains(string(text), want) {
		t.Errorf("stderr %q, want %q once", text, want)
	}
}

// file makes a file to which a command writes.
func (w *work) file(name string) *os.File {
	w.Helper()
	f, err := os.Create(w.path(name))
	w.must(err)
	w.Cleanup(func() { _ = f.Close() })
	return f
}

// Files that go before their turn are no failure of the Task as a whole.
func TestVanishingFiles(t *testing.T) {
	w := newWork(t)
	for i := range 20 {
		w.put(numbered(i), "x")
	}
	w.must(syscall.Mkfifo(w.path("gate"), 0o600))
	w.task(`{handler: {command: [sh, -c, 'touch "$2/begun"; cat "$2/gate" >/dev/null; cp "$0" "$1"', "{input}", "{output}", $DIR]}}`)
	cmd := w.command("run", "t.yaml")
	stdout := w.file("stdout")
	cmd.Stdout = stdout
	w.must(cmd.Start())
	w.wait("a file in hand", func() bool { return exists(w.path("begun")) })
	for i := 5; i < 20; i++ {
		w.must(os.Remove(w.path("in", numbered(i))))
	}
	gate, err := os.OpenFile(w.path("gate"), os.O_RDWR, 0)
	w.must(err)
	w.must(os.Remove(w.path("gate")))
	w.must(os.WriteFile(w.path("gate"), nil, 0o644))
	w.must(gate.Close())
	code := w.waitFor(cmd)
	text, err := os.ReadFile(stdout.Name())
	w.must(err)
	t.Logf("exit code %d\n%s", code, text)
	for i := range 20 {
		output, failed := exists(w.path("out", numbered(i))), exists(w.path("out", strings.TrimSuffix(numbered(i), ".txt")+".err"))
		if i < 5 && (!output || failed) {
			t.Errorf("%s: output %v, error %v", numbered(i), output, failed)
		}
		if output && failed {
			t.Errorf("%s has an output and an error file", numbered(i))
		}
	}
}

// Two runs never share an output: the second says who has it.
func TestSecondRun(t *testing.T) {
	w := newWork(t)
	w.put("a.txt", "x")
	w.must(syscall.Mkfifo(w.path("gate"), 0o600))
	w.task(`{handler: {command: [sh, -c, 'touch "$2/begun"; cat "$2/gate" >/dev/null; cp "$0" "$1"', "{input}", "{output}", $DIR]}}`)
	cmd := w.command("run", "t.yaml")
	w.must(cmd.Start())
	w.wait("a file in hand", func() bool { return exists(w.path("begun")) })
	r := w.run("run", "t.yaml")
	host, err := os.Hostname()
	w.must(err)
	want := "error: t: OutputInUse: output.directory is in use by process " + strconv.Itoa(cmd.Process.Pid) + " on " + host + " for default/t of embedded: end that one first"
	if r.code != 2 || !strings.HasPrefix(r.stderr, want) || len(lines(r.stderr)) != 1 {
		t.Errorf("exit code %d, stderr %q, want %q", r.code, r.stderr, want)
	}
	w.must(os.WriteFile(w.path("gate"), nil, 0o600))
	if code := w.waitFor(cmd); code != 0 {
		t.Errorf("the first run ends with %d", code)
	}
	w.output("a.txt", "x")
}
