package worker

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tigerflow.dev/tigerflow/spool"
)

const benchFiles = 20_000

// BenchmarkWorker compares a worker with a bare loop that reads, writes and renames the same files in the same run, on
// the disk of TMPDIR and in memory. ratio is the worker's files per second by the loop's, which syncs nothing.
//
//	go test ./worker -run '^$' -bench Worker -benchtime 1x
func BenchmarkWorker(b *testing.B) {
	python := spool.Handler{Python: &spool.PythonHandler{Module: "copy.py", Interpreter: interpreter()}}
	for _, place := range []string{"/dev/shm", os.TempDir()} {
		for _, h := range []struct {
			name    string
			handler spool.Handler
		}{{"builtin", spool.Handler{Builtin: "echo"}}, {"python", python}} {
			for _, d := range []spool.Durability{spool.None, spool.Fsync} {
				b.Run(fmt.Sprintf("%s/%s/%s", place, h.name, d), func(b *testing.B) {
					var worker, loop, workerCPU, loopCPU time.Duration
					for range b.N {
						before := cpu(b)
						w, l, middle := benchOnce(b, place, h.handler, d)
						worker, loop = worker+w, loop+l
						workerCPU, loopCPU = workerCPU+middle-before, loopCPU+cpu(b)-middle
					}
					total := float64(benchFiles * b.N)
					b.ReportMetric(0, "ns/op")
					b.ReportMetric(total/worker.Seconds(), "files/s")
					b.ReportMetric(total/loop.Seconds(), "loop-files/s")
					b.ReportMetric(loop.Seconds()/worker.Seconds(), "ratio")
					b.ReportMetric(workerCPU.Seconds()*1e6/total, "cpu-µs/file")
					b.ReportMetric(loopCPU.Seconds()*1e6/total, "loop-cpu-µs/file")
				})
			}
		}
	}
}

const copyModule = `
from tigerflow.tasks import LocalTask
class Copy(LocalTask):
    @staticmethod
    def run(context, input_file, output_file):
        with open(input_file, "rb") as source, open(output_file, "wb") as target:
            target.write(source.read())
`

// benchOnce times a worker, from its first file to the last record, and then the loop.
func benchOnce(b *testing.B, place string, h spool.Handler, d spool.Durability) (worker, loop, middle time.Duration) {
	root, err := os.MkdirTemp(place, "tigerflow-bench-") //nolint:usetesting // in memory, or wherever TMPDIR is
	must(b, err)
	defer os.RemoveAll(root)
	in, out, raw := filepath.Join(root, "in"), filepath.Join(root, "out"), filepath.Join(root, "raw")
	for _, dir := range []string{in, out, raw} {
		must(b, os.Mkdir(dir, 0o777))
	}
	must(b, os.WriteFile(filepath.Join(root, "copy.py"), []byte(copyModule), 0o666))
	names := make([]spool.Name, benchFiles)
	for i := range names {
		names[i] = spool.Name(fmt.Sprintf("f%05d.txt", i))
		must(b, os.WriteFile(filepath.Join(in, string(names[i])), make([]byte, 2048), 0o666))
	}
	s, err := spool.Create(spool.Dir(out, "copy"), spool.Owner{Plane: "bench", Name: "copy"}, spool.Spec{
		Task: "copy", Type: spool.TypeSlurm, WorkDir: spool.Name(root), InputDir: spool.Name(in), InputExt: ".txt",
		OutputDir: spool.Name(out), OutputExt: ".out", Handler: h, Concurrency: 1, Durability: d,
	})
	must(b, err)
	lock, err := (&spool.Contender{Spool: s, Owner: s.Owner()}).Try()
	must(b, err)
	defer lock.Abandon()

	taking, drain := context.WithCancel(b.Context())
	defer drain()
	ended := make(chan error, 1)
	go func() {
		_, err := Run(b.Context(), taking, Config{Spool: s.Path(), ID: s.ID() + ".0.r0", Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
		ended <- err
	}()
	warm := []spool.Name{"f00000.txt"}
	_, err = lock.Feed(spool.Batch{Files: warm})
	must(b, err)
	eventually(b, "the first file", func() bool { return exists(filepath.Join(out, "f00000.out")) })
	start := time.Now()
	for names := names[1:]; len(names) > 0; { // as a dispatcher does for files of some milliseconds
		n := min(500, len(names))
		_, err := lock.Feed(spool.Batch{Files: names[:n]})
		must(b, err)
		names = names[n:]
	}
	eventually(b, "the last file", func() bool {
		queue, err := s.Queue()
		must(b, err)
		claims, err := s.Claims(s.ID() + ".0.r0")
		must(b, err)
		return len(queue)+len(claims) == 0
	})
	worker = time.Since(start)
	drain()
	must(b, <-ended)

	middle = cpu(b)
	start = time.Now()
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(in, string(name)))
		must(b, err)
		tmp := filepath.Join(raw, "tmp-"+string(name))
		must(b, os.WriteFile(tmp, data, 0o666))
		must(b, os.Rename(tmp, filepath.Join(raw, string(name))))
	}
	return worker, time.Since(start), middle
}

// cpu is the processor time of this process and of the children that it has reaped.
func cpu(b *testing.B) (all time.Duration) {
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var usage unix.Rusage
		must(b, unix.Getrusage(who, &usage))
		all += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	return all
}
