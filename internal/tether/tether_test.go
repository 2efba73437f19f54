package tether

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// family spells a process as {pid, parent, session}.
func family(cookie string, numbers ...[3]int) []process {
	var all []process
	for _, n := range numbers {
		all = append(all, process{identity: identity{pid: n[0]}, parent: n[1], session: n[2], cookie: cookie})
	}
	return all
}

func kinOf(all []process, leader, self int) []int {
	var pids []int
	for _, p := range kin(all, func(p process) bool { return p.cookie == "k.0.r1" }, leader, self) {
		pids = append(pids, p.pid)
	}
	slices.Sort(pids)
	return pids
}

func TestKin(t *testing.T) {
	const self = 9
	tests := []struct {
		name   string
		marked []process
		others []process
		leader int
		want   []int
	}{
		{"nobody", nil, family("", [3]int{1, 0, 0}, [3]int{2, 0, 0}, [3]int{5, 1, 5}), 0, nil},
		{"by cookie", family("k.0.r1", [3]int{5, 1, 5}), family("k.1.r1", [3]int{6, 1, 6}), 0, []int{5}},
		{"by session", nil, family("", [3]int{5, 1, 4}, [3]int{6, 1, 6}), 4, []int{5}},
		{"by parent", family("k.0.r1", [3]int{5, 1, 5}), family("", [3]int{7, 6, 7}, [3]int{6, 5, 6}), 0, []int{5, 6, 7}},
		{"led by a marked one", family("k.0.r1", [3]int{5, 1, 5}), family("", [3]int{6, 1, 5}), 0, []int{5, 6}},
		{"beside a marked one", family("k.0.r1", [3]int{5, 1, 3}), family("", [3]int{6, 1, 3}), 0, []int{5, 6}},
		{"not by another namespace's session", family("k.0.r1", [3]int{5, 2, 0}), family("", [3]int{6, 2, 0}), 0, []int{5}},
		{"not the leader", family("k.0.r1", [3]int{4, 1, 4}), family("", [3]int{5, 4, 5}), 4, []int{5}},
		{"not init", family("k.0.r1", [3]int{1, 0, 1}), family("", [3]int{5, 1, 5}, [3]int{6, 1, 1}), 0, nil},
		{"not self", family("k.0.r1", [3]int{self, 1, 8}), family("", [3]int{10, self, 8}), 0, nil},
		{"not by self's session", family("k.0.r1", [3]int{5, 2, 8}), family("", [3]int{self, 2, 8}, [3]int{6, 2, 8}), 0, []int{5}},
		{"not self's ancestors", family("k.0.r1", [3]int{3, 1, 3}, [3]int{4, 3, 3}), family("", [3]int{self, 4, 8}, [3]int{5, 3, 3}), 0, nil},
		{"self leads", family("k.0.r1", [3]int{self, 1, self}), family("", [3]int{5, self, self}, [3]int{6, 1, 6}), self, []int{5}},
	}
	for _, tt := range tests {
		if got := kinOf(append(tt.others, tt.marked...), tt.leader, self); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// Whatever the processes look like, those that started nothing of ours are safe.
func TestKinSparesStrangers(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		const n = 12
		all := family("", [3]int{1, 0, rng.IntN(2)}, [3]int{2, 0, 0})
		for pid := 3; pid < n; pid++ {
			all = append(all, family("", [3]int{pid, rng.IntN(pid), rng.IntN(pid + 1)})...)
		}
		self := 3 + rng.IntN(n-3)
		if got := kinOf(all, 0, self); len(got) != 0 {
			t.Fatalf("without a cookie: %v of %+v", got, all)
		}
		marked := 1 + rng.IntN(n-1)
		all[marked-1].cookie = "k.0.r1"
		for _, pid := range kinOf(all, 0, self) {
			if lineage(all, self)[pid] || pid != marked && all[pid-1].session < 2 && all[pid-1].parent < 2 {
				t.Fatalf("%d is the kin of %d, self is %d: %+v", pid, marked, self, all)
			}
		}
	}
}

func TestParseStat(t *testing.T) {
	tail := " S 1 20 30 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4711 1000 100 18446744073709551615\n"
	for text, want := range map[string]process{
		"10 (sh)" + tail:            {identity: identity{10, 4711}, parent: 1, session: 30, command: "sh"},
		"10 (a) S 9 (b)" + tail:     {identity: identity{10, 4711}, parent: 1, session: 30, command: "a) S 9 (b"},
		"10 (x\n y)" + tail:         {identity: identity{10, 4711}, parent: 1, session: 30, command: "x\n y"},
		"10 (sh) S 1 2 3":           {},
		"":                          {},
		")(":                        {},
		"x (sh)" + tail:             {},
		"10 (sh)" + tail[:20] + "x": {},
	} {
		got, alive, err := parseStat([]byte(text))
		if got.pid != want.pid && err == nil || (err == nil) != (want.pid != 0) || err == nil && (got != want || !alive) {
			t.Errorf("parseStat(%q) = %+v, %v, %v; want %+v", text, got, alive, err, want)
		}
	}
	zombie := strings.Replace("10 (sh)"+tail, " S ", " Z ", 1)
	if _, alive, err := parseStat([]byte(zombie)); alive || err != nil {
		t.Errorf("parseStat of a zombie: alive %v, %v", alive, err)
	}
	threads := strings.Replace(zombie, " 20 0 1 ", " 20 0 2 ", 1)
	if _, alive, err := parseStat([]byte(threads)); !alive || err != nil {
		t.Errorf("parseStat of a zombie with a living thread: alive %v, %v", alive, err)
	}
}

func FuzzParseStat(f *testing.F) {
	if own, err := os.ReadFile("/proc/self/stat"); err == nil {
		f.Add(own)
	}
	f.Add([]byte("1 ()) Z"))
	f.Fuzz(func(t *testing.T, stat []byte) {
		p, alive, err := parseStat(stat)
		if err != nil && (alive || p != process{}) {
			t.Errorf("%+v, %v together with %v", p, alive, err)
		}
	})
}

func TestInspectSelf(t *testing.T) {
	p, alive, err := inspect(os.Getpid())
	if err != nil || !alive || p.pid != os.Getpid() || p.parent != os.Getppid() || p.started == 0 {
		t.Errorf("inspect(self) = %+v, %v, %v", p, alive, err)
	}
	all, err := processes()
	if err != nil || !slices.ContainsFunc(all, func(q process) bool { return q.pid == p.pid && q.started == p.started }) {
		t.Errorf("self is not among %d processes: %v", len(all), err)
	}
}

func TestCookieOf(t *testing.T) {
	for environ, want := range map[string]string{
		"A=b\x00TIGERFLOW_WORKER=k.0.r1\x00C=d\x00":             "k.0.r1",
		"X_TIGERFLOW_WORKER=a\x00TIGERFLOW_WORKER_ID=b\x00":     "",
		"A=TIGERFLOW_WORKER=a\x00":                              "",
		"TIGERFLOW_WORKER=first\x00TIGERFLOW_WORKER=second\x00": "first",
		"": "",
	} {
		if got := cookieOf([]byte(environ)); got != want {
			t.Errorf("cookieOf(%q) = %q, want %q", environ, got, want)
		}
	}
}

// sleeper starts a process with the cookie.
func sleeper(t *testing.T, cookie string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	cmd.Env = append(os.Environ(), CookieEnv+"="+cookie)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd
}

// TestEndWorkerOf: what had begun before is another job's.
func TestEndWorkerOf(t *testing.T) {
	id := "t" + strconv.FormatInt(time.Now().UnixNano(), 36) + ".0.r1"
	before := sleeper(t, id)
	p, _, err := inspect(before.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	var first *exec.Cmd
	for { // a tick of the clock later
		first = sleeper(t, "another")
		q, _, err := inspect(first.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		if q.started > p.started {
			break
		}
	}
	after := sleeper(t, id)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := EndWorkerOf(ctx, id, first.Process.Pid); err != nil {
		t.Fatal(err)
	}
	var killed *exec.ExitError
	if err := after.Wait(); !errors.As(err, &killed) {
		t.Errorf("what began afterwards: %v", err)
	}
	for _, cmd := range []*exec.Cmd{before, first} {
		if _, alive, err := inspect(cmd.Process.Pid); !alive || err != nil {
			t.Errorf("%s: %v", cmd, err)
		}
	}
	if err := EndWorkerOf(ctx, id, after.Process.Pid); err == nil {
		t.Error("a process that is not there has no time")
	}
}

func TestEndWorkerAndKey(t *testing.T) {
	key := "t" + strconv.FormatInt(time.Now().UnixNano(), 36)
	first, second, other := sleeper(t, key+".0.r1"), sleeper(t, key+".1.r1"), sleeper(t, key+"-x.0.r1")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := EndWorker(ctx, key+".0.r1", 0); err != nil {
		t.Fatal(err)
	}
	var killed *exec.ExitError
	if err := first.Wait(); !errors.As(err, &killed) {
		t.Errorf("the worker's process: %v", err)
	}
	if err := EndKey(ctx, key); err != nil {
		t.Fatal(err)
	}
	if err := second.Wait(); !errors.As(err, &killed) {
		t.Errorf("the key's process: %v", err)
	}
	if p, alive, err := inspect(other.Process.Pid); !alive || err != nil || p.cookie != key+"-x.0.r1" {
		t.Errorf("another key's process: %+v, %v, %v", p, alive, err)
	}
}

func TestEndSaysWhatStays(t *testing.T) {
	// A context that has ended leaves time for one look and one kill, not to see that it worked.
	cookie := "t" + strconv.FormatInt(time.Now().UnixNano(), 36) + ".0.r1"
	cmd := sleeper(t, cookie)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := EndWorker(ctx, cookie, 0)
	want := "process " + strconv.Itoa(cmd.Process.Pid) + " (sleep) is still there"
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), want) {
		t.Errorf("EndWorker: %v, want %q", err, want)
	}
	var killed *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &killed) {
		t.Errorf("it was not even tried to kill it: %v", err)
	}
}

func TestKillSparesAnotherOfThatPid(t *testing.T) {
	cmd := sleeper(t, "")
	p, _, err := inspect(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	p.started--
	p.kill()
	if _, alive, err := inspect(cmd.Process.Pid); !alive || err != nil {
		t.Errorf("a later process of that number was killed: %v", err)
	}
}

func TestLifeline(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(LifelineEnv, strconv.Itoa(int(read.Fd())))
	gone, err := Lifeline()
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone:
		t.Fatal("the lifeline ended while its other end is open")
	default:
	}
	if value, ok := os.LookupEnv(LifelineEnv); ok {
		t.Errorf("children would take %q for their lifeline", value)
	}
	if err := write.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone:
	case <-time.After(2 * time.Minute):
		t.Fatal("nothing was told of the end of the parent")
	}
}

func TestNoLifeline(t *testing.T) {
	t.Setenv(LifelineEnv, "")
	for value, bad := range map[string]bool{"": true, "x": true, "987654": true} {
		t.Setenv(LifelineEnv, value)
		if gone, err := Lifeline(); (err != nil) != bad || gone != nil {
			t.Errorf("%s=%q: %v, %v", LifelineEnv, value, gone, err)
		}
	}
	if err := os.Unsetenv(LifelineEnv); err != nil {
		t.Fatal(err)
	}
	if gone, err := Lifeline(); gone != nil || err != nil {
		t.Errorf("without a lifeline: %v, %v", gone, err)
	}
}
