package cmdline

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

var params = []Option{
	{Name: "greeting", Metavar: Text, Help: "Greeting to prepend", Default: "Hello", Param: true},
	{Name: "upper_case", Metavar: Flag, Help: "Convert to uppercase", Param: true},
	{Name: "word", Metavar: Text, Repeated: true, Param: true},
}

func TestHelp(t *testing.T) {
	const want = `Usage: greet [OPTIONS]

Run the task as a CLI application

╭─ Options ────────────────────────────────────────────────────────────────────╮
│ *  --input-dir         PATH  Input directory to read data [required]         │
│ *  --input-ext         TEXT  Input file extension [required]                 │
│ *  --output-dir        PATH  Output directory to store results [required]    │
│ *  --output-ext        TEXT  Output file extension [required]                │
│    --greeting          TEXT  Greeting to prepend [default: Hello]            │
│    --upper-case              Convert to uppercase                            │
│    --word              TEXT                                                  │
│    --task-name         TEXT  Task name [default: Greet]                      │
│    --help                    Show this message and exit.                     │
╰──────────────────────────────────────────────────────────────────────────────╯
`
	if got := Help("greet", "Run the task as a CLI application", Options(Local, params, "Greet"), 80); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// The table of TigerFlow's guide, to the letter.
func TestHelpOfSlurm(t *testing.T) {
	const want = `Usage: transcribe.py [OPTIONS]

Run the task as a CLI application

╭─ Options ──────────────────────────────────────────────────────────────────────────────╮
│ *  --input-dir             PATH     Input directory to read data [required]            │
│ *  --input-ext             TEXT     Input file extension [required]                    │
│ *  --output-dir            PATH     Output directory to store results [required]       │
│ *  --output-ext            TEXT     Output file extension [required]                   │
│ *  --max-workers           INTEGER  Max number of workers for autoscaling [required]   │
│ *  --cpus                  INTEGER  Number of CPUs per worker [required]               │
│ *  --memory                TEXT     Memory per worker [required]                       │
│ *  --time                  TEXT     Wall time per worker [required]                    │
│    --gpus                  INTEGER  Number of GPUs per worker                          │
│    --sbatch-option         TEXT     Additional Slurm option for workers (repeatable)   │
│    --setup-command         TEXT     Shell command to run before the task starts        │
│                                     (repeatable)                                       │
│    --model-file            PATH     Path to the Whisper model file                     │
│    --task-name             TEXT     Task name [default: Transcribe]                    │
│    --help                           Show this message and exit.                        │
╰────────────────────────────────────────────────────────────────────────────────────────╯
`
	model := Option{Name: "model_file", Metavar: Path, Help: "Path to the Whisper model file", Required: true, Param: true}
	if got := Help("transcribe.py", "Run the task as a CLI application", Options(Slurm, []Option{model}, "Transcribe"), 90); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestHelpOfAsync(t *testing.T) {
	const want = `│ *  --concurrency-limit        INTEGER  Maximum number of files that may be processed concurrently at any given │
│                                        time (excess files are queued until capacity becomes available)         │
│                                        [required]                                                              │
│    --task-name                TEXT     Task name [default: Embed]                                              │
`
	params := []Option{{Name: "p", Hidden: true}}
	if got := Help("embed", "", Options(LocalAsync, params, "Embed"), 114); !strings.Contains(got, want) {
		t.Errorf("got\n%s\nwant in it\n%s", got, want)
	}
}

func TestHelpIsRectangular(t *testing.T) {
	for _, kind := range []Kind{Local, LocalAsync, Slurm, Either} {
		for _, width := range []int{1, 56, 61, 80, 120} {
			text := Help("x", "y", Options(kind, params, strings.Repeat("ä", 90)), width)
			for _, line := range strings.Split(strings.TrimSpace(text), "\n")[4:] {
				if n := utf8.RuneCountInString(line); n != max(width, leastWidth) {
					t.Errorf("%s at width %d: a line of %d columns: %s", kind, width, n, line)
				}
			}
		}
	}
}

func TestParse(t *testing.T) {
	base := []string{"--input-dir", "in", "--input-ext=.txt", "--output-dir", "out", "--output-ext", ".out"}
	values, err := Parse(Options(LocalAsync, params, "T"), append(base, "--concurrency-limit", "7", "--upper-case", "--word", "-a", "--word=b=c", "--greeting", "1", "--greeting="))
	if err != nil {
		t.Fatal(err)
	}
	want := Values{
		"input_dir": {"in"}, "input_ext": {".txt"}, "output_dir": {"out"}, "output_ext": {".out"}, "concurrency_limit": {"7"},
		"upper_case": {"true"}, "word": {"-a", "b=c"}, "greeting": {"1", ""},
	}
	if !reflect.DeepEqual(values, want) {
		t.Errorf("got %v, want %v", values, want)
	}
	if values.Int("concurrency_limit") != 7 || values.Get("greeting") != "" || !values.Has("greeting") || values.Has("task_name") {
		t.Error("the values are not what was given")
	}
}

func TestParseErrors(t *testing.T) {
	for args, want := range map[string]string{
		"":                           "Missing option '--input-dir'",
		"x":                          "Got unexpected extra argument (x)",
		"--input-dri x":              "No such option: --input-dri. Did you mean --input-dir?",
		"--frobnicate":               "No such option: --frobnicate",
		"--upper-case=yes":           "Option '--upper-case' does not take a value",
		"--input-dir":                "Option '--input-dir' requires an argument",
		"--concurrency-limit many":   "Invalid value for '--concurrency-limit': 'many' is not a valid integer",
		"--concurrency-limit 3 -- x": "No such option: --",
	} {
		_, err := Parse(Options(LocalAsync, params, "T"), strings.Fields(args))
		if usage, ok := errors.AsType[*UsageError](err); !ok || usage.Message != want {
			t.Errorf("%q: error %v, want %s", args, err, want)
		}
	}
	if values, err := Parse(Options(Slurm, nil, "T"), []string{"--help"}); err != nil || !values.Has("help") {
		t.Errorf("help: %v, %v", values, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("--input-dir\x00in\x00--word=\x00--help")
	f.Fuzz(func(t *testing.T, text string) {
		values, err := Parse(Options(LocalAsync, params, "T"), strings.Split(text, "\x00"))
		if err != nil {
			if _, ok := errors.AsType[*UsageError](err); !ok {
				t.Errorf("error %T", err)
			}
			return
		}
		if !values.Has("help") && !values.Has("input_dir") {
			t.Errorf("%q lacks what is required", text)
		}
	})
}
