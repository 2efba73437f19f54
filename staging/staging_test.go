package staging

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// folder is the input directory of a test: names to sizes and ages.
type folder map[string]Info

func (f folder) Stat(name string) (Info, error) {
	info, ok := f[name]
	if !ok {
		return Info{}, fs.ErrNotExist
	}
	return info, nil
}

func (f folder) IsFile(name string) bool { _, ok := f[name]; return ok }

// functions are the callables of a test.
type functions map[string]func(candidates []string, counts Counts) ([]string, error)

func (f functions) Call(_ context.Context, name string, candidates []string, counts Counts) ([]string, error) {
	return f[name](candidates, counts)
}

func TestChoose(t *testing.T) {
	dir := folder{
		"b.txt": {Size: 100, MTime: now.Add(-10 * time.Second)}, "a.txt": {Size: 50, MTime: now.Add(-20 * time.Second)},
		"c.txt": {Size: 100, MTime: now}, "empty.txt": {MTime: now.Add(time.Hour)}, "c.done": {}, "x.tar.done": {}, "x.tar.gz": {Size: 7},
		".txt.done": {}, ".txt": {Size: 1},
	}
	tests := []struct {
		name  string
		steps []Step
		in    string
		want  string
	}{
		{"no step", nil, "b a", "b a"},
		{"no candidate", []Step{{MaxBatch: 1}}, "", ""},
		{"min size", []Step{{MinSize: 100}}, "a.txt b.txt c.txt empty.txt", "b.txt c.txt"},
		{"min size of an empty file", []Step{{MinSize: 1}}, "empty.txt", ""},
		{"max size", []Step{{MaxSize: 50}}, "a.txt b.txt empty.txt", "a.txt empty.txt"},
		{"a file that is gone", []Step{{MaxSize: 50}}, "gone.txt a.txt", "a.txt"},
		{"a file that is gone, sorted", []Step{{SortBy: SortBySize}}, "gone.txt a.txt", "a.txt"},
		{"min age", []Step{{MinAge: 10 * time.Second}}, "a.txt b.txt c.txt empty.txt", "a.txt b.txt"},
		{"name", []Step{{FilenameMatch: `_\d+`}}, "rec_1.mp4 rec_x.mp4 my_rec_22_final.mp4", "rec_1.mp4 my_rec_22_final.mp4"},
		{"name from its start", []Step{{FilenameMatch: `^rec`}}, "rec_1.mp4 my_rec.mp4", "rec_1.mp4"},
		{"companion", []Step{{CompanionFile: ".done"}}, "b.txt c.txt", "c.txt"},
		{"companion of two extensions", []Step{{CompanionFile: ".done"}}, "x.tar.gz", "x.tar.gz"},
		{"companion of a name that is an extension", []Step{{CompanionFile: ".done"}}, ".txt", ".txt"},
		{"max staged", []Step{{MaxStaged: 7}}, "a b c", "a b"},
		{"max staged, full", []Step{{MaxStaged: 5}}, "a b c", ""},
		{"max staged, more than full", []Step{{MaxStaged: 1}}, "a b c", ""},
		{"max batch", []Step{{MaxBatch: 2}}, "c b a", "c b"},
		{"max batch of fewer", []Step{{MaxBatch: 9}}, "c b a", "c b a"},
		{"by name", []Step{{SortBy: SortByName}}, "c B a", "B a c"},
		{"by name in reverse", []Step{{SortBy: SortByName, Reverse: true}}, "c B a", "c a B"},
		{"by size, equal ones in their order", []Step{{SortBy: SortBySize}}, "c.txt b.txt a.txt", "a.txt c.txt b.txt"},
		{"by size in reverse, equal ones in their order", []Step{{SortBy: SortBySize, Reverse: true}}, "a.txt c.txt b.txt", "c.txt b.txt a.txt"},
		{"by time", []Step{{SortBy: SortByMTime}}, "c.txt b.txt a.txt", "a.txt b.txt c.txt"},
		{"one after the other", []Step{{MinSize: 60}, {SortBy: SortByMTime}, {MaxBatch: 1}}, "a.txt c.txt b.txt", "b.txt"},
		{"a limit before the order", []Step{{MaxBatch: 1}, {SortBy: SortByName}}, "c a", "c"},
		{"callable", []Step{{Callable: "m:last"}}, "a b c", "c b"},
		{"callable, not called for nothing", []Step{{MinSize: 1000}, {Callable: "m:fail"}}, "a.txt", ""},
	}
	call := functions{
		"m:last": func(c []string, counts Counts) ([]string, error) {
			if counts != (Counts{Staged: 5, Completed: 3, Failed: 1}) {
				return nil, fmt.Errorf("counts %v", counts)
			}
			return []string{c[len(c)-1], c[len(c)-2]}, nil
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			steps, err := Compile(test.steps)
			if err != nil {
				t.Fatal(err)
			}
			candidates := strings.Fields(test.in)
			before := slices.Clone(candidates)
			view := View{Counts: Counts{Staged: 5, Completed: 3, Failed: 1}, Now: now, Folder: dir, Caller: call}
			got, err := steps.Choose(t.Context(), candidates, view)
			if err != nil || !slices.Equal(got, strings.Fields(test.want)) {
				t.Errorf("chose %q (%v), want %q", got, err, test.want)
			}
			if !slices.Equal(candidates, before) {
				t.Errorf("the candidates became %q", candidates)
			}
		})
	}
}

func TestBrokenCallables(t *testing.T) {
	broken := errors.New("ValueError: no")
	call := functions{
		"m:raises":  func([]string, Counts) ([]string, error) { return nil, broken },
		"m:invents": func(c []string, _ Counts) ([]string, error) { return append(slices.Clone(c), "z"), nil },
		"m:repeats": func(c []string, _ Counts) ([]string, error) { return []string{c[0], c[0]}, nil },
	}
	for function, want := range map[string]string{
		"m:raises":  "the callable m:raises: ValueError: no",
		"m:invents": `the callable m:invents: it returned "z"`,
		"m:repeats": `the callable m:repeats: it returned "a"`,
	} {
		steps, err := Compile([]Step{{Callable: function}, {MaxBatch: 1}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := steps.Choose(t.Context(), []string{"a", "b"}, View{Caller: call})
		failed, ok := errors.AsType[*CallError](err)
		if !ok || failed.Function != function || len(got) > 0 || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: chose %q, %v", function, got, err)
		}
		if function == "m:raises" && !errors.Is(err, broken) {
			t.Errorf("%v hides its cause", err)
		}
	}
	steps, err := Compile([]Step{{Callable: "m:f"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := steps.Choose(t.Context(), []string{"a"}, View{}); err == nil {
		t.Error("a callable without a caller chose")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	view := View{Caller: functions{"m:f": func([]string, Counts) ([]string, error) { return nil, broken }}}
	if _, err := steps.Choose(ctx, []string{"a"}, view); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped with %v", err)
	}
}

func TestCompileRefuses(t *testing.T) {
	for _, test := range []struct {
		step Step
		want string
	}{
		{Step{}, "staging[1]: a step is exactly one of"},
		{Step{MinSize: 1, MaxSize: 2}, "this one has 2 of them"},
		{Step{Reverse: true}, "this one has 0 of them"},
		{Step{MinSize: -1}, "must be more than 0"},
		{Step{MinAge: -time.Second}, "must be more than 0"},
		{Step{SortBy: "ctime"}, "use Name, Size or MTime"},
		{Step{FilenameMatch: "["}, "missing closing ]"},
	} {
		if _, err := Compile([]Step{{MaxBatch: 1}, test.step}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", test.step, err, test.want)
		}
	}
}

// FuzzChoose: whatever the steps, what is chosen is a part of the candidates without repeats, and a step that keeps a
// property keeps it.
func FuzzChoose(f *testing.F) {
	f.Add("b a c", int64(0), int64(0), uint8(0), int64(2), int64(3))
	f.Add("a.txt b.txt", int64(50), int64(60), uint8(5), int64(0), int64(0))
	f.Fuzz(func(t *testing.T, names string, low, high int64, order uint8, batch, staged int64) {
		dir := folder{}
		var candidates []string
		for i, name := range strings.Fields(names) {
			if _, twice := dir[name]; !twice {
				candidates = append(candidates, name)
				dir[name] = Info{Size: int64(i * 13 % 7), MTime: now.Add(-time.Duration(i*5%11) * time.Second)}
			}
		}
		key := []SortKey{"", SortByName, SortBySize, SortByMTime}[order%4]
		steps := slices.DeleteFunc([]Step{{MinSize: low}, {MaxSize: high}, {SortBy: key, Reverse: order > 127}, {MaxBatch: batch}, {MaxStaged: staged}},
			func(s Step) bool { return s == Step{Reverse: s.Reverse} })
		compiled, err := Compile(steps)
		if err != nil {
			return
		}
		got, err := compiled.Choose(t.Context(), candidates, View{Now: now, Folder: dir})
		if err != nil {
			t.Fatal(err)
		}
		checkChosen(t, got, dir, steps)
	})
}

func checkChosen(t *testing.T, got []string, dir folder, steps []Step) {
	t.Helper()
	seen := map[string]bool{}
	for _, name := range got {
		if _, ok := dir[name]; !ok || seen[name] {
			t.Errorf("chose %q by %+v", got, steps)
		}
		seen[name] = true
	}
	for _, step := range steps {
		most := max(step.MaxBatch, step.MaxStaged)
		if most > 0 && int64(len(got)) > most {
			t.Errorf("chose %d by %+v", len(got), step)
		}
		for _, name := range got {
			if size := dir[name].Size; size < step.MinSize || step.MaxSize > 0 && size > step.MaxSize {
				t.Errorf("chose %s of %d bytes by %+v", name, size, step)
			}
		}
	}
}
