package v1alpha1_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"testing"
)

// The doc of status.conditions is what kubectl explain shows, so it must list the types and reasons that there are.
func TestConditionsDocListsAllThatThereAre(t *testing.T) {
	var docs string
	for kind := range kinds {
		status := mustAdmission(t, kind).structural.Properties["status"]
		docs += status.Properties["conditions"].Description
	}

	types, reasons := conditionConstants(t)
	words := regexp.MustCompile(`\b[A-Z][A-Za-z]+\b`).FindAllString(docs, -1)
	prose := []string{"True", "False", "Reason", "Reasons", "When", "Unknown"}
	words = slices.DeleteFunc(words, func(w string) bool { return slices.Contains(prose, w) })

	want := append(slices.Clone(types), reasons...)
	slices.Sort(want)
	slices.Sort(words)
	if got := slices.Compact(words); !slices.Equal(got, slices.Compact(want)) {
		t.Errorf("the docs of status.conditions have\n%q\nbut conditions.go has\n%q", got, want)
	}
}

// conditionConstants returns the values of the constants Condition… and Reason… of conditions.go, and checks that each is
// called by its value and documented.
func conditionConstants(t *testing.T) (types, reasons []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "conditions.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		decl, ok := n.(*ast.GenDecl)
		if !ok || decl.Tok != token.CONST {
			return true
		}
		for _, spec := range decl.Specs {
			constant := spec.(*ast.ValueSpec)
			name := constant.Names[0].Name
			value, err := strconv.Unquote(constant.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			if constant.Doc == nil && decl.Doc == nil {
				t.Errorf("%s is not documented", name)
			}
			switch name {
			case "Condition" + value:
				types = append(types, value)
			case "Reason" + value:
				reasons = append(reasons, value)
			default:
				t.Errorf("%s = %q: a constant is called by its value", name, value)
			}
		}
		return false
	})
	return types, reasons
}
