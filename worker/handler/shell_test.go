package handler

import (
	"strings"
	"testing"
)

func TestScriptIndex(t *testing.T) {
	tests := []struct {
		argv string // divided by spaces
		want int
	}{
		{"sh -c SCRIPT", 2},
		{"/bin/bash -c SCRIPT sh -c", 2},
		{"bash -euo pipefail -c SCRIPT", 4},
		{"bash --norc +o posix -lc SCRIPT a", 5},
		{"timeout 10 env A=b zsh -c SCRIPT", 6},
		{"bash script.sh -c x", -1},
		{"bash -o errexit script.sh", -1},
		{"sh -c", -1},
		{"python3 -c CODE", -1},
		{"convert sh -resize {input}", -1},
		{"cp {input} {output}", -1},
	}
	for _, tt := range tests {
		if got := scriptIndex(strings.Split(tt.argv, " ")); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.argv, got, tt.want)
		}
	}
}

func TestQuoteForShell(t *testing.T) {
	tests := []struct{ script, want string }{
		{`cat {x}`, `cat "${X}"`},
		{`cat "{x}"`, `cat "${X}"`},
		{`cat 'a {x}'`, `cat 'a '"${X}"''`},
		{`cat "it's {x}" {x}`, `cat "it's ${X}" "${X}"`},
		{`cat it\'s {x}`, `cat it\'s "${X}"`},
		{`cat "\"{x}"`, `cat "\"${X}"`},
		{`"$(cat "{x}" {x})" {x}`, `"$(cat "${X}" "${X}")" "${X}"`},
		{`(cat {x}) '{x}'`, `(cat "${X}") ''"${X}"''`},
		{"true # it's\ncat {x}", "true # it's\ncat \"${X}\""},
		{`echo $# a#b' {x}'`, `echo $# a#b' '"${X}"''`},
		{`case {x} in a) cat {x};; esac`, `case "${X}" in a) cat "${X}";; esac`},
		{`awk '{print}' {y} {X} {{x}}`, `awk '{print}' {y} {X} {"${X}"}`},
		{`trailing \`, `trailing \`},
		{`echo \{x}`, `echo \{x}`},
	}
	for _, tt := range tests {
		if got := quoteForShell(tt.script, placeholderX); got != tt.want {
			t.Errorf("%s\nbecame %s\nwant   %s", tt.script, got, tt.want)
		}
	}
}

func placeholderX(name string) string {
	if name == "x" {
		return "X"
	}
	return ""
}

func FuzzQuoteForShell(f *testing.F) {
	for _, script := range []string{`"$({x} "{x}")"`, "cat <<E\nit's {x}\nE", "`{x}`", `'{x}`, `"{x}\`, `${y:-{x}}`, `$'\'{x}'`} {
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script string) {
		quoted := quoteForShell(script, placeholderX)
		escaped := strings.Count(script, `\{x}`) // may or may not stand for itself, as the backslash does
		got, want := strings.Count(quoted, "${X}"), strings.Count(script, "{x}")+strings.Count(script, "${X}")
		if got > want || got < want-escaped {
			t.Errorf("%q became %q with %d references, want %d", script, quoted, got, want)
		}
		if !strings.Contains(script, "{x}") && quoted != script {
			t.Errorf("%q became %q", script, quoted)
		}
	})
}
