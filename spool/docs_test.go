package spool

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func specification(t *testing.T) string {
	t.Helper()
	return read(t, filepath.Join("..", "docs", "spool.md"))
}

// TestDocsShowRealRecords takes every record that the specification shows for what it says it is.
func TestDocsShowRealRecords(t *testing.T) {
	records := regexp.MustCompile(`(?m)^[0-9a-f]{8} [0-9a-f]{8} .*\n`).FindAllString(specification(t), -1)
	for _, r := range records {
		payload, n, err := NextRecord([]byte(r))
		if err != nil || n != len(r) || !json.Valid(payload) {
			t.Errorf("%q is no record: %v", r, err)
		}
	}
	if len(records) < 9 {
		t.Errorf("found %d records", len(records))
	}
	example := read(t, "example_test.go")
	for _, r := range records {
		if !strings.Contains(example, r) {
			t.Errorf("the example has no record %q", r)
		}
	}
}

// TestDocsNameEveryField looks for each field of what lies on disk.
func TestDocsNameEveryField(t *testing.T) {
	doc, seen := specification(t), map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice:
			walk(typ.Elem())
			return
		case reflect.Struct:
		default:
			return
		}
		if seen[typ] || typ.PkgPath() != reflect.TypeFor[Spool]().PkgPath() {
			return
		}
		seen[typ] = true
		for field := range typ.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if name != "" && !strings.Contains(doc, "`"+name+"`") && !strings.Contains(doc, "`"+name+": ") {
				t.Errorf("field %q of %s is not in docs/spool.md", name, typ.Name())
			}
			walk(field.Type)
		}
	}
	for _, v := range []any{Manifest{}, Holder{}, Born{}, Exit{}, Event{}, Entry{}, Batch{}, ErrorFile{}, Request{}} {
		walk(reflect.TypeOf(v))
	}
}

// TestDocsNameEveryKind looks for the value of each string constant of a type of its own: the kinds of events, entries, ends
// and problems.
func TestDocsNameEveryKind(t *testing.T) {
	doc := specification(t)
	for kind, values := range constants(t) {
		for _, v := range values {
			if !strings.Contains(doc, "`"+v+"`") {
				t.Errorf("%s %q is not in docs/spool.md", kind, v)
			}
		}
	}
}

// constants gives the values of the package's typed string constants, by type.
func constants(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	files, err := filepath.Glob("*.go")
	must(t, err)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		data, err := os.ReadFile(name)
		must(t, err)
		file, err := parser.ParseFile(token.NewFileSet(), name, data, parser.SkipObjectResolution)
		must(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			typ, named := spec.Type.(*ast.Ident)
			value, literal := spec.Values[0].(*ast.BasicLit)
			if named && literal && value.Kind == token.STRING {
				text, err := strconv.Unquote(value.Value)
				must(t, err)
				found[typ.Name] = append(found[typ.Name], text)
			}
			return true
		})
	}
	if len(found["EventKind"]) < 5 || len(found["EntryKind"]) < 5 || len(found["ExitReason"]) < 5 || len(found["ProblemKind"]) < 5 {
		t.Fatalf("the constants found are %v", found)
	}
	return found
}
