package handler

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/task/python"
)

const echoModule = `
from tigerflow.tasks import LocalTask


class Echo(LocalTask):
    @staticmethod
    def run(context, input_file, output_file):
        with open(input_file, "rb") as f:
            content = f.read()
        with open(output_file, "wb") as f:
            f.write(content)


Echo.cli()
`

const noopModule = `
from tigerflow.tasks import LocalTask


class Noop(LocalTask):
    @staticmethod
    def run(context, input_file, output_file):
        pass


Noop.cli()
`

const benchInputs = 1000

// benchDir is a folder in memory with small inputs.
func benchDir(b *testing.B) (dir string, inputs []string) {
	b.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "tigerflow-bench-") //nolint:usetesting // in memory, wherever TMPDIR is
	if err != nil {
		dir = b.TempDir()
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	for i := range benchInputs {
		inputs = append(inputs, filepath.Join(dir, fmt.Sprintf("in%d", i)))
		if err := os.WriteFile(inputs[i], []byte(strings.Repeat("0123456789abcdef", 16)), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return dir, inputs
}

// BenchmarkRaw is what any engine must do: open, read, write a temporary, rename it.
func BenchmarkRaw(b *testing.B) {
	dir, inputs := benchDir(b)
	buf := make([]byte, 64<<10)
	before := cpu(b)
	for i := 0; b.Loop(); i++ {
		n := 0
		withFile(b, inputs[i%benchInputs], unix.O_RDONLY, func(fd int) (err error) {
			n, err = unix.Read(fd, buf)
			return err
		})
		temporary, output := benchPaths(dir, i)
		withFile(b, temporary, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, func(fd int) error {
			_, err := unix.Write(fd, buf[:n])
			return err
		})
		if err := unix.Rename(temporary, output); err != nil {
			b.Fatal(err)
		}
	}
	report(b, before)
}

// withFile opens by system call: package os takes as long again.
func withFile(b *testing.B, path string, flags int, use func(fd int) error) {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	if err := use(fd); err != nil {
		b.Fatal(err)
	}
	if err := unix.Close(fd); err != nil {
		b.Fatal(err)
	}
}

func benchPaths(dir string, i int) (temporary, output string) {
	return filepath.Join(dir, fmt.Sprintf(".~tf_%d", i%100)), filepath.Join(dir, fmt.Sprintf("out%d", i%benchInputs))
}

// cpu is the processor time of this process and of the children that it has reaped.
func cpu(b *testing.B) time.Duration {
	var all time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var usage unix.Rusage
		if err := unix.Getrusage(who, &usage); err != nil {
			b.Fatal(err)
		}
		all += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	return all
}

// report gives the rate, and the processor time, which tells more on a busy machine.
func report(b *testing.B, before time.Duration) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "files/s")
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-µs/file")
}

func BenchmarkBuiltinEcho(b *testing.B) {
	benchAhead(b, spool.Handler{Builtin: "echo"}, "")
}

func BenchmarkPythonEcho(b *testing.B) {
	benchAhead(b, spool.Handler{Python: &spool.PythonHandler{Module: "module.py"}}, echoModule)
}

func BenchmarkPythonNoop(b *testing.B) {
	benchAhead(b, spool.Handler{Python: &spool.PythonHandler{Module: "module.py"}}, noopModule)
}

func benchAhead(b *testing.B, h spool.Handler, module string) {
	for _, ahead := range []int{1, 4, 16} {
		b.Run(fmt.Sprintf("ahead=%d", ahead), func(b *testing.B) { benchHandler(b, h, module, ahead) })
	}
}

// benchHandler does all that a worker does for a file short of its books: create the temporary, run, rename.
func benchHandler(b *testing.B, spec spool.Handler, module string, ahead int) {
	dir, inputs := benchDir(b)
	config, results := benchConfig(b, dir, spec, module)
	before := cpu(b)
	h, err := Start(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	settle := func() {
		r := <-results
		if r.Failure != nil {
			b.Fatal(r.Failure)
		}
		temporary, output := benchPaths(dir, int(r.ID))
		if err := unix.Rename(temporary, output); err != nil {
			b.Fatal(err)
		}
	}
	inFlight := 0
	for i := 0; b.Loop(); i++ {
		if inFlight > ahead {
			settle()
			inFlight--
		}
		temporary, _ := benchPaths(dir, i)
		withFile(b, temporary, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, func(int) error { return nil })
		if err := h.Run(Request{ID: uint64(i), Input: inputs[i%benchInputs], Output: temporary, Mark: "benchmark"}); err != nil {
			b.Fatal(err)
		}
		inFlight++
	}
	for ; inFlight > 0; inFlight-- {
		settle()
	}
	if err := h.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	report(b, before)
}

func benchConfig(b *testing.B, dir string, h spool.Handler, module string) (Config, <-chan Result) {
	b.Helper()
	results := make(chan Result, 64)
	config := Config{
		Spec:       &spool.Spec{Task: "Bench", WorkDir: spool.Name(dir), Concurrency: 1, Handler: h},
		Results:    results,
		Log:        io.Discard,
		Grace:      time.Minute,
		PythonPath: filepath.Join(dir, "tigerflow.zip"),
	}
	data, _, err := python.Zip()
	if err != nil {
		b.Fatal(err)
	}
	for path, content := range map[string][]byte{config.PythonPath: data, filepath.Join(dir, "module.py"): []byte(module)} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	if config.Current, err = os.Create(filepath.Join(dir, "current")); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { config.Current.Close() })
	return config, results
}

// BenchmarkStart is from the call to a handler that is ready, and its orderly end.
func BenchmarkStart(b *testing.B) {
	for name, h := range map[string]spool.Handler{
		"builtin": {Builtin: "echo"}, "python": {Python: &spool.PythonHandler{Module: "module.py"}},
	} {
		b.Run(name, func(b *testing.B) {
			dir, _ := benchDir(b)
			config, results := benchConfig(b, dir, h, noopModule)
			for b.Loop() {
				h, err := Start(b.Context(), config)
				if err != nil {
					b.Fatal(err)
				}
				if err := h.Close(b.Context()); err != nil {
					b.Fatal(err)
				}
				<-results // its end
			}
		})
	}
}

func BenchmarkCommand(b *testing.B) {
	for name, argv := range map[string][]string{"cp": {"cp", "{input}", "{output}"}, "sh": {"sh", "-c", ": < {input} > {output}"}} {
		b.Run(name, func(b *testing.B) { benchHandler(b, spool.Handler{Command: argv}, "", 1) })
	}
}
