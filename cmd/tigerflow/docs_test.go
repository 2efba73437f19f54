package main

import (
	"io"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"tigerflow.dev/tigerflow/spool"
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
		named := map[string]bool{"help": true, "verbose": true}
		for _, flag := range regexp.MustCompile("--([a-z-]+)").FindAllStringSubmatch(intro+text, -1) {
			named[flag[1]] = true
		}
		cmd, _, err := newRoot(io.Discard, io.Discard).Find([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !named[f.Name] {
				t.Errorf("the section on %s does not name --%s", name, f.Name)
			}
			if f.Shorthand != "" && f.Name != "help" && !strings.Contains(text, "`-"+f.Shorthand+"`") {
				t.Errorf("the section on %s does not name -%s", name, f.Shorthand)
			}
		})
		for flag := range named {
			if flag != "help" && flag != "verbose" && cmd.Flags().Lookup(flag) == nil {
				t.Errorf("%s has no flag --%s", name, flag)
			}
		}
		if name == "report" {
			for _, key := range keys(reflect.TypeFor[reportJSON]()) {
				if !strings.Contains(text, key) {
					t.Errorf("the key %s is not documented", key)
				}
			}
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
	for i := range t.NumField() {
		f := t.Field(i)
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
