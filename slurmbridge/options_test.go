package slurmbridge

import (
	"slices"
	"strings"
	"testing"
)

func TestSplitOptions(t *testing.T) {
	for item, want := range map[string]string{
		"--mail-type=END":              "--mail-type=END",
		"--account astro":              "--account=astro",
		"-A astro":                     "--account=astro",
		"-Aastro":                      "--account=astro",
		"-A=astro":                     "--account==astro", // as getopt has it
		`--constraint="a100|h100"`:     "--constraint=a100|h100",
		`--comment='two words'`:        "--comment=two words",
		`--comment=two\ words`:         "--comment=two words",
		`--comment="a\"b" --exclusive`: `--comment=a"b;--exclusive`,
		"-HOv":                         "--hold;--overcommit;--verbose",
		"-HG2":                         "--hold;--gpus=2",
		"-sk":                          "--oversubscribe;--no-kill",
		"-koff":                        "--no-kill=off",
		"--exclusive=user":             "--exclusive=user",
		"--nodes=1  --exclusive":       "--nodes=1;--exclusive",
		"--site-plugin=x":              "--site-plugin=x",
		"--comment=":                   "--comment=",
		"--mem":                        "needs a value",
		"--exclusive user":             "is no option",
		"--comment=two words":          "is no option",
		"job.sh":                       "is no option",
		"--":                           "is no option",
		"- x":                          "is no option",
		"":                             "empty",
		`--comment="a`:                 "not closed",
		`--comment=a\`:                 "backslash",
		`--comment="a'"'b"'`:           `--comment=a'b"`,
		"-HZ":                          "no option -Z",
		"--=x":                         "abbreviation",
		"--wr=ls":                      "--wr is an abbreviation",
		"--wrap=ls":                    "--wrap is refused",
		"--wrap ls":                    "--wrap is refused",
		`"--wrap=ls"`:                  "--wrap is refused",
		`-\-wrap=ls`:                   "--wrap is refused",
		"-a 1-3":                       "--array is refused",
		"-HJx":                         "--job-name is refused",
		"-HW":                          "--wait is refused",
		"--wait-all-nodes=1":           "--wait-all-nodes=1",
		"--expor=NONE":                 "abbreviation",
		"--export=NONE":                "--export is refused",
		"--time=1":                     "use slurm.time",
		"-t 1":                         "use slurm.time",
		"--mail-user=a\nb":             "control character",
		"--mail-user=a\x00":            "control character",
	} {
		words, err := splitOptions([]string{item})
		got := strings.Join(words, ";")
		if err != nil {
			if !strings.HasPrefix(want, "-") || strings.Contains(want, " is ") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q: %v, want %q in it", item, err, want)
				}
				continue
			}
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", item, got, want)
		}
	}
}

func TestCheckOptions(t *testing.T) {
	dangerous, err := CheckOptions([]string{"--uid=0", "-D /etc", "--exclusive", "--gid root --uid 1"})
	if want := []string{"uid", "chdir", "gid"}; err != nil || !slices.Equal(dangerous, want) {
		t.Errorf("%v, %v; want %v", dangerous, err, want)
	}
	if _, err := CheckOptions([]string{"--exclusive", "--ui=0"}); err == nil || !strings.Contains(err.Error(), `"--ui=0"`) {
		t.Errorf("an abbreviation: %v", err)
	}
	for _, name := range dangerousOptions {
		if _, known := longNames[name]; !known {
			t.Errorf("sbatch has no option --%s", name)
		}
	}
	for name := range refusedOptions {
		if _, known := longNames[name]; !known {
			t.Errorf("sbatch has no option --%s", name)
		}
	}
}

func TestAvoiding(t *testing.T) {
	for _, c := range []struct {
		options, nodes, want []string
	}{
		{[]string{"--nice"}, nil, []string{"--nice"}},
		{nil, []string{"n1"}, []string{"--exclude=n1"}},
		{[]string{"--nice"}, []string{"n1", "n7"}, []string{"--nice", "--exclude=n1,n7"}},
		{[]string{"--exclude=a", "--exclude=b[1-3]", "--nice"}, []string{"n1"}, []string{"--exclude=a", "--exclude=b[1-3]", "--nice", "--exclude=b[1-3],n1"}},
	} {
		options := slices.Clone(c.options)
		if got := avoiding(options, c.nodes); !slices.Equal(got, c.want) {
			t.Errorf("%v, avoiding %v: %v, want %v", c.options, c.nodes, got, c.want)
		}
	}
}

func TestNamesGPUs(t *testing.T) {
	for item, want := range map[string]bool{
		"--gres=gpu:1": true, "-G 1": true, "--gpus-per-node=2": true, "--tres-per-task=gres/gpu:1": true, "--gpus=1": true,
		"--gres-flags=x": false, "--gpu-bind=none": false, "--mem-per-gpu=1G": false, "--cpus-per-gpu=2": false, "--tres-per-task=cpu:1": false,
	} {
		words, err := splitOptions([]string{item})
		if err != nil || namesGPUs(words) != want {
			t.Errorf("%s: %v, %v; want %v", item, namesGPUs(words), err, want)
		}
	}
}

// Whatever is taken has one spelling, which names no option that is refused.
func FuzzSplitOptions(f *testing.F) {
	for _, item := range []string{"--wrap=ls", "-A x -p y", `--comment="a b"`, "-HW", "--wr", `--c\omment=x`, "--a'b'=c", "-kx --nice"} {
		f.Add(item)
	}
	f.Fuzz(func(t *testing.T, item string) {
		words, err := splitOptions([]string{item})
		for _, word := range words {
			name, _, _ := strings.Cut(strings.TrimPrefix(word, "--"), "=")
			if !strings.HasPrefix(word, "--") || name == "" || refusedOptions[name] != "" || strings.ContainsAny(word, "\n\x00") {
				t.Errorf("%q became %q", item, words)
			}
			if again, err := longOption(word[2:]); err != nil || again.name != name {
				t.Errorf("%q became %q, which reads as %v, %v", item, word, again, err)
			}
		}
		if err != nil && words != nil {
			t.Errorf("%q: %q together with %v", item, words, err)
		}
	})
}
