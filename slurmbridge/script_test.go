package slurmbridge

import (
	cmdline "flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/executor"
)

var update = cmdline.Bool("update", false, "write the golden files")

var testConfig = scriptConfig{worker: "/scratch/me/out/.tigerflow/bin/tigerflow-worker-1"}

// elements are workers k3f9.N.r2 of one Task.
func elements(change func(*executor.Spec), slots ...int) []executor.Spec {
	var all []executor.Spec
	for _, slot := range slots {
		id := executor.WorkerID{Key: "k3f9", Index: slot, Restart: 2}
		s := executor.Spec{
			ID: id, Task: "transcribe", Spool: "/scratch/me/out/.tigerflow/tasks/transcribe",
			Args: []string{"--wall-time", "2h0m0s"}, Log: "/scratch/me/out/.tigerflow/tasks/transcribe/logs/" + id.String() + ".log",
			Resources: executor.Resources{CPUs: 1}, DrainTimeout: time.Minute, WallTime: 2 * time.Hour,
		}
		change(&s)
		all = append(all, s)
	}
	return all
}

// Each case has in testdata its arguments of sbatch, one a line, and its script.
func TestGolden(t *testing.T) {
	contained := func(s *executor.Spec) {
		s.Container = executor.Container{Image: "/scratch/me/whisper.sif", Binds: []executor.Bind{
			{Path: "/scratch/me"}, {Path: "/models", ReadOnly: true}, {Path: "/data/it's, 1:2", ReadOnly: true}, {Path: "/scratch/me", At: "/work space"},
		}}
	}
	for name, a := range map[string]array{
		"plain": {specs: elements(func(*executor.Spec) {}, 0)},
		"many": {specs: elements(func(s *executor.Spec) {
			if s.ID.Index > 1 {
				s.Args = append([]string{"--idle-timeout", "2m0s"}, s.Args...)
			}
		}, 0, 1, 3, 4, 5, 9)},
		"beyond": {base: 1001, specs: elements(func(*executor.Spec) {}, 1001, 1003)},
		"container": {specs: elements(func(s *executor.Spec) {
			contained(s)
			s.Resources = executor.Resources{CPUs: 4, Memory: 12<<30 + 1, GPUs: 2}
			s.Container.SetupCommands = []string{"module load apptainer", "export HF_HOME='/scratch/me/hf'"}
		}, 0, 1)},
		"options": {specs: elements(func(s *executor.Spec) {
			s.Resources.GPUs, s.WallTime = 1, time.Minute+time.Second
			s.Slurm = executor.Slurm{Partition: "gpu", Account: "astro", QOS: "short", Options: []string{
				"-G a100:1", `--constraint="a100|h100"`, "--exclusive", "--mail-type=END --mail-user me@example.org",
			}}
			s.Avoid = []string{"node3", "node4"}
		}, 0)},
		"odd": {specs: elements(func(s *executor.Spec) {
			s.Task, s.Log = "a\nb", "/scratch/100%/"+s.ID.String()
			s.Args = []string{"it's", "", "$(reboot)", "a\r\nb\x01\x7f\xff\\", "*"}
			s.WallTime, s.Resources.CPUs = 0, 0
		}, 0, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			a.name = "transcribe.tf-k3f9.0.r2"
			args, err := a.args(testConfig)
			if err != nil {
				t.Fatal(err)
			}
			script, err := a.script(testConfig)
			if err != nil {
				t.Fatal(err)
			}
			check := exec.Command("bash", "-n")
			check.Stdin = strings.NewReader(script)
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("bash -n: %v\n%s", err, out)
			}
			if strings.ContainsAny(script, "\r\x00") {
				t.Error("sbatch takes no script with such characters")
			}
			head, found := strings.CutSuffix(script, scriptBody) // which one of them shows
			if !found || name == "plain" {
				head = script
			}
			golden(t, name, strings.Join(args, "\n")+"\n\n"+head)
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s, if it is to be so, write it with -update:\n%s", file, got)
	}
}

func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "a", "it's", "a\nb\r", "$(x)`y`\\", "\x01\x7f\x80\xff'", "-n", "~", "{a,b}", "!!", "é\u00a0", "\\'\x1b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.Contains(s, "\x00") {
			t.Skip("no argument has it")
		}
		out, err := exec.Command("bash", "-c", "printf %s. "+quote(s)).Output()
		if err != nil || string(out) != s+"." {
			t.Errorf("bash makes %q of %s, not %q: %v", out, quote(s), s, err)
		}
	})
}

func TestElements(t *testing.T) {
	for want, slots := range map[string][]int{"7": {7}, "0-1": {0, 1}, "0,3,5-7": {0, 3, 5, 6, 7}} {
		a := array{specs: elements(func(*executor.Spec) {}, slots...)}
		if got := a.elements(); got != want {
			t.Errorf("%v: --array=%s, want %s", slots, got, want)
		}
	}
}

func TestOutputPattern(t *testing.T) {
	for name, tt := range map[string]struct {
		base int
		logs []string
		want string
	}{
		"one":            {0, []string{"/50%/a.log"}, "/50%%/a.log"},
		"one far out":    {9, []string{"/l/k3f9.9.r2.log"}, "/l/k3f9.9.r2.log"},
		"by element":     {0, []string{"/%/k3f9.0.r2.log", "/%/k3f9.1.r2.log"}, "/%%/k3f9.%a.r2.log"},
		"others far out": {9, []string{"/l/k3f9.9.r2.log", "/l/k3f9.10.r2.log"}, noOutput},
		"no pattern":     {0, []string{"/l/a", "/l/b"}, noOutput},
		"two patterns":   {0, []string{"/l/k3f9.0.r2.log", "/m/k3f9.1.r2.log"}, noOutput},
		"an escape":      {0, []string{`/a\b/x.log`}, noOutput},
	} {
		a := array{base: tt.base}
		for i, log := range tt.logs {
			s := elements(func(*executor.Spec) {}, tt.base+i)[0]
			s.Log = log
			a.specs = append(a.specs, s)
		}
		if got := a.outputPattern(); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}
