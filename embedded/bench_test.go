package embedded

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkStart measures the time from nothing to a served CRD, and to stop again, and the memory of the process.
func BenchmarkStart(b *testing.B) {
	var stopping time.Duration
	for b.Loop() {
		c, err := Start(b.Context(), Options{CRDs: testCRDs(b)})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		b.ReportMetric(residentMB(b), "MB-resident")
		began := time.Now()
		if err := c.Stop(); err != nil {
			b.Fatal(err)
		}
		stopping += time.Since(began)
		b.StartTimer()
	}
	b.ReportMetric(float64(stopping.Milliseconds())/float64(b.N), "ms-to-stop")
}

// BenchmarkIdle measures the processor time of a control plane that nobody uses; an operation is 30 s of that.
func BenchmarkIdle(b *testing.B) {
	c, err := Start(b.Context(), Options{CRDs: testCRDs(b)})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := c.Stop(); err != nil {
			b.Error(err)
		}
	}()
	var used time.Duration
	for b.Loop() {
		before := cpuTime(b)
		<-time.After(30 * time.Second)
		used += cpuTime(b) - before
	}
	b.ReportMetric(float64(used.Microseconds())/30/float64(b.N), "cpu-µs/s")
	b.ReportMetric(residentMB(b), "MB-resident")
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func residentMB(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(bytes.TrimSpace(status))) {
		var kb float64
		if n, _ := fmt.Sscanf(line, "VmRSS: %f kB", &kb); n == 1 {
			return kb / 1024
		}
	}
	b.Fatal("no VmRSS in /proc/self/status")
	return 0
}
