package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func newLog(t testing.TB, path string) *Log {
	t.Helper()
	must(t, os.WriteFile(path, nil, 0o666))
	l, err := openLog(path)
	must(t, err)
	t.Cleanup(func() { _ = l.f.Close() }) // most tests close it themselves
	return l
}

// collect reads what a Tail has to give.
func collect(t testing.TB, tail *Tail) []string {
	t.Helper()
	var got []string
	must(t, tail.Read(func(payload []byte, _ int64) error {
		var s string
		err := json.Unmarshal(payload, &s)
		got = append(got, s)
		return err
	}))
	return got
}

func wantStrings(t testing.TB, what string, got, want []string) {
	t.Helper()
	if fmt.Sprintf("%.60q", got) != fmt.Sprintf("%.60q", want) {
		t.Fatalf("%s: got %.60q, want %.60q", what, got, want)
	}
}

func TestLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := newLog(t, path)
	must(t, l.Append("one"))
	must(t, l.Append("two"))
	if info, _ := os.Stat(path); info.Size() != 0 || l.Buffered() == 0 {
		t.Fatalf("before Flush the file has %d bytes and %d are buffered", info.Size(), l.Buffered())
	}
	must(t, l.Flush())
	wantStrings(t, "after Flush", collect(t, &Tail{path: path}), []string{"one", "two"})
	must(t, l.Append("three"))
	must(t, l.Sync())
	must(t, l.Sync())
	must(t, l.Append("four"))
	must(t, l.Close())
	wantStrings(t, "after Close", collect(t, &Tail{path: path}), []string{"one", "two", "three", "four"})
	if _, err := openLog(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("a log is made by its folder's birth alone: %v", err)
	}
}

// What a rush of records needed in memory is given back.
func TestLogMemory(t *testing.T) {
	l := newLog(t, filepath.Join(t.TempDir(), "log"))
	must(t, l.Append(strings.Repeat("x", 4*spareMost)))
	must(t, l.Sync())
	if got := cap(l.buf) + cap(l.kept); got > 2*spareMost {
		t.Errorf("%d bytes are kept for an empty log", got)
	}
}

// TestLogSyncFails: what the kernel had taken and then dropped is written again, at its place.
func TestLogSyncFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := newLog(t, path)
	must(t, l.Append("one"))
	must(t, l.Sync())
	from := l.off
	must(t, l.Append("two"))
	must(t, l.Flush())
	must(t, l.Append("three"))
	f := l.f
	closed, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	must(t, l.Flush())
	must(t, l.Append("four"))
	must(t, l.Flush())
	l.f = closed
	must(t, closed.Close())
	if err := l.Sync(); err == nil {
		t.Fatal("a sync that failed is not told")
	}
	l.f = f
	must(t, f.Truncate(from+3)) // a piece of it had reached the disk
	must(t, l.Append("five"))
	must(t, l.Sync())
	wantStrings(t, "after the second sync", collect(t, &Tail{path: path}), []string{"one", "two", "three", "four", "five"})
	must(t, l.Append(strings.Repeat("six", keptMost)))
	must(t, l.Flush())
	if len(l.kept) > 0 || l.synced != l.off {
		t.Errorf("%d bytes are kept", len(l.kept))
	}
	must(t, l.Close())
}

// TestLogShortWrite has the kernel cut a write short in the middle of a record, which a limit on the size of files does
// for every user.
func TestLogShortWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	start(t, "shortWrite", path).end()
	wantStrings(t, "in the end", collect(t, &Tail{path: path}), []string{"first", strings.Repeat("second", 20), "third", "fourth"})
}

func roleShortWrite(args []string) error {
	signal.Ignore(syscall.SIGXFSZ)
	limit := func(size uint64) error {
		return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: ^uint64(0)})
	}
	if err := os.WriteFile(args[0], nil, 0o666); err != nil {
		return err
	}
	l, err := openLog(args[0])
	if err != nil {
		return err
	}
	if err := errors.Join(l.Append("first"), l.Flush(), limit(100)); err != nil {
		return err
	}
	whole := l.off
	if err := errors.Join(l.Append(strings.Repeat("second", 20)), l.Append("third")); err != nil {
		return err
	}
	for try := range 3 {
		if err := l.Flush(); !errors.Is(err, syscall.EFBIG) {
			return fmt.Errorf("try %d over the limit: %w", try, err)
		}
		if info, err := os.Stat(args[0]); err != nil || info.Size() != whole {
			return fmt.Errorf("after try %d the file has %d bytes, %w; its whole records have %d", try, info.Size(), err, whole)
		}
	}
	return errors.Join(l.Append("fourth"), limit(^uint64(0)), l.Flush(), l.Close())
}

// mountTmpfs gives a file system of 64 KiB, to be filled.
func mountTmpfs(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: only root can mount a small file system to fill it")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		t.Skipf("skipped: this root may not mount a small file system to fill it: %v", err)
	} else {
		must(t, err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

// fill writes a file until the file system has only so many bytes of room left.
func fill(t *testing.T, path string, left int64) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	page := make([]byte, 4096)
	var size int64
	for err == nil {
		var n int
		n, err = f.Write(page)
		size += int64(n)
	}
	if !IsFull(err) {
		t.Fatalf("filling the file system ended with %v", err)
	}
	must(t, f.Truncate(size-left))
}

func TestLogFullDisk(t *testing.T) {
	dir := mountTmpfs(t)
	path, filler := filepath.Join(dir, "log"), filepath.Join(dir, "filler")
	l := newLog(t, path)
	var want []string
	add := func(n int) {
		for range n {
			s := fmt.Sprintf("%04d%s", len(want), strings.Repeat(".", 1000))
			want = append(want, s)
			must(t, l.Append(s))
		}
	}
	add(3)
	must(t, l.Sync())
	fill(t, filler, 4096)
	add(20) // of five pages
	for range 3 {
		if err := l.Flush(); !IsFull(err) || !IsStorage(err) {
			t.Fatalf("flushing onto a full disk: %v", err)
		}
		if err := l.Sync(); !IsFull(err) {
			t.Fatalf("syncing onto a full disk: %v", err)
		}
		wantStrings(t, "on the full disk", collect(t, &Tail{path: path}), want[:3])
		if data := read(t, path); int64(len(data)) != l.off || data[len(data)-1] != '\n' {
			t.Fatalf("on the full disk the file has %d bytes, its whole records %d", len(data), l.off)
		}
		add(1)
	}
	must(t, os.Remove(filler))
	must(t, l.Sync())
	wantStrings(t, "with room again", collect(t, &Tail{path: path}), want)
	add(2)
	must(t, l.Close())
	wantStrings(t, "in the end", collect(t, &Tail{path: path}), want)
}

func TestTailResumes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	tail := &Tail{path: path}
	wantStrings(t, "a file that is not there", collect(t, tail), nil)
	var want []string
	for i, size := range []int{1, 65500, 65517, 65518, 65519, 65536, 300, 1 << 20, 5, 70000, 1} { // around the buffer's length
		want = append(want, fmt.Sprintf("%d:%s", i, strings.Repeat("x", size)))
	}
	l := newLog(t, path)
	var offsets []int64
	for i, s := range want {
		must(t, l.Append(s))
		must(t, l.Flush())
		wantStrings(t, "news", collect(t, tail), want[i:i+1])
		offsets = append(offsets, tail.Offset())
	}
	for i, off := range offsets {
		wantStrings(t, "from an offset on", collect(t, &Tail{path: path, off: off}), want[i+1:])
	}
	wantStrings(t, "all at once", collect(t, &Tail{path: path}), want)
	wantStrings(t, "beyond the end", collect(t, &Tail{path: path, off: l.off + 1000}), nil)
}

func TestTailTornThenCompleted(t *testing.T) {
	whole := append(record(t, "one"), record(t, strings.Repeat("two", 100))...)
	next := record(t, "three")
	first := len(record(t, "one"))
	dir := t.TempDir()
	for _, nuls := range []int{0, 1, 30, 100000} {
		for cut := 0; cut < len(whole); cut += 1 + nuls/1000 {
			path := filepath.Join(dir, fmt.Sprintf("%d-%d", nuls, cut))
			write(t, path, string(whole[:cut])+strings.Repeat("\x00", nuls))
			tail := &Tail{path: path}
			got := collect(t, tail)
			if want := map[bool]int{true: 1}[cut >= first]; len(got) != want {
				t.Fatalf("%d of %d bytes and %d NULs read as %.40q", cut, len(whole), nuls, got)
			}
			overwrite(t, path, append(bytes.Clone(whole), next...))
			wantStrings(t, "completed", append(got, collect(t, tail)...), []string{"one", strings.Repeat("two", 100), "three"})
		}
	}
}

// overwrite gives a file its full content, as pages arrive.
func overwrite(t *testing.T, path string, content []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt(content, 0)
	must(t, errors.Join(err, f.Truncate(int64(len(content))), f.Close()))
}

func TestTailCallbackError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := newLog(t, path)
	for _, s := range []string{"one", "two", "three"} {
		must(t, l.Append(s))
	}
	must(t, l.Close())
	tail, full := &Tail{path: path}, errors.New("full")
	var ends []int64
	err := tail.Read(func(payload []byte, end int64) error {
		if string(payload) == `"two"` {
			return full
		}
		ends = append(ends, end)
		return nil
	})
	wantIs(t, err, full)
	if len(ends) != 1 || ends[0] != tail.Offset() {
		t.Fatalf("ends %v, offset %d", ends, tail.Offset())
	}
	wantStrings(t, "what was refused and behind", collect(t, tail), []string{"two", "three"})
}

func TestTailWhileWritten(t *testing.T) {
	const n = 20000
	path := filepath.Join(t.TempDir(), "log")
	l := newLog(t, path)
	text := func(i int) string { return fmt.Sprintf("%d:%s", i, strings.Repeat("x", i%700)) }
	written := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < n && err == nil; i++ {
			err = l.Append(text(i))
			if i%7 == 0 {
				err = errors.Join(err, l.Flush())
			}
		}
		written <- errors.Join(err, l.Close())
	}()
	tail, count := &Tail{path: path}, 0
	deadline := time.Now().Add(time.Minute)
	for count < n && time.Now().Before(deadline) {
		for _, s := range collect(t, tail) {
			if s != text(count) {
				t.Fatalf("record %d is %.40q", count, s)
			}
			count++
		}
	}
	must(t, <-written)
	if count != n || tail.Offset() != l.off {
		t.Fatalf("read %d of %d records, up to %d of %d", count, n, tail.Offset(), l.off)
	}
}

func FuzzTail(f *testing.F) {
	f.Add(append(record(f, "a"), record(f, "b")...), []byte("\x00\x00\x00"))
	f.Add(record(f, strings.Repeat("long", 20000)), record(f, "b"))
	f.Fuzz(func(t *testing.T, head, more []byte) {
		path := filepath.Join(t.TempDir(), "log")
		must(t, os.WriteFile(path, head, 0o666))
		var inTwo, atOnce bytes.Buffer
		into := func(w io.Writer) func([]byte, int64) error {
			return func(p []byte, end int64) error {
				_, err := fmt.Fprintf(w, "%d %s\n", end, p)
				return err
			}
		}
		tail := &Tail{path: path}
		must(t, tail.Read(into(&inTwo)))
		overwrite(t, path, append(bytes.Clone(head), more...))
		must(t, tail.Read(into(&inTwo)))
		must(t, (&Tail{path: path}).Read(into(&atOnce)))
		if !bytes.Equal(inTwo.Bytes(), atOnce.Bytes()) || tail.Offset() > int64(len(head)+len(more)) {
			t.Fatalf("in two reads:\n%s\nat once:\n%s", &inTwo, &atOnce)
		}
	})
}
