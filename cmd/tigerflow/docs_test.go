package main

import (
	"io"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"tigerflow.dev/tigerflow/spool"
)

var (
	flagNamed  = regexp.MustCompile("--([a-z][a-z-]*)")
	flagOfHelp = regexp.MustCompile(`(?m)^ +(?:-(\w), |    )--([a-z-]+)`)
)

// TestDocs: a command that has a section in docs/pipeline.md has the flags that are named there, and no others.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/pipeline.md")
	if err != nil {
		t.Fatal(err)
	}
	_, part, _ := strings.Cut(string(page), "\n## Following, stopping, logs\n")
	part, _, _ = strings.Cut(part, "\n## ")
	intro, _, _ := strings.Cut(part, "\n### ")
	sections := strings.Split(part, "\n### tigerflow ")[1:]
	if len(sections) != 3 {
		t.Errorf("%d sections", len(sections))
	}
	for _, section := range sections {
		name, text, _ := strings.Cut(section, "\n")
		checkFlags(t, name, intro+text)
		if name != "report" {
			continue
		}
		for _, key := range keys(reflect.TypeFor[reportJSON]()) {
			if !strings.Contains(text, key) {
				t.Errorf("the key %s is not documented", key)
			}
		}
	}
}

func checkFlags(t *testing.T, name, text string) {
	t.Helper()
	cmd, _, err := newRoot(io.Discard, io.Discard).Find([]string{name})
	if err != nil {
		t.Fatal(err)
	}
	has := map[string]bool{}
	for _, flag := range flagOfHelp.FindAllStringSubmatch(cmd.LocalFlags().FlagUsages(), -1) {
		if has[flag[2]] = true; !strings.Contains(text, "--"+flag[2]) || flag[1] != "" && !strings.Contains(text, "`-"+flag[1]+"`") {
			t.Errorf("the section on %s does not name %s", name, strings.TrimSpace(flag[0]))
		}
	}
	for _, flag := range flagNamed.FindAllStringSubmatch(text, -1) {
		if !has[flag[1]] {
			t.Errorf("%s has no flag --%s", name, flag[1])
		}
	}
}

// keys is the JSON keys of a type and those in it, but for what only error files have.
func keys(t reflect.Type) (list []string) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return keys(t.Elem())
	case reflect.Struct:
	default:
		return nil
	}
	for f := range t.Fields() {
		if key, _, _ := strings.Cut(f.Tag.Get("json"), ","); key != "" {
			list = append(list, key)
		}
		if f.Type != reflect.TypeFor[spool.ErrorFile]() {
			list = append(list, keys(f.Type)...)
		}
	}
	return list
}

func TestServedBy(t *testing.T) {
	for _, tt := range []struct {
		owner spool.Owner
		want  string
	}{
		{spool.Owner{Plane: "the command line", Name: "T"}, ""},
		{spool.Owner{Plane: planeEmbedded, Namespace: "default", Name: "t"}, "within seconds if tigerflow up still serves the Task, else "},
		{
			spool.Owner{Plane: "https://10.0.0.1:6443", Namespace: "lab", Name: "t"},
			"within seconds if https://10.0.0.1:6443 still has the Task (kubectl get task t -n lab), else ",
		},
	} {
		if got := servedBy(tt.owner); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.owner, got, tt.want)
		}
	}
}
