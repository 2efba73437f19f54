package staging

import (
	"os"
	"strings"
	"testing"
)

func TestPatternsBeyondRE2(t *testing.T) {
	for pattern, want := range map[string]string{
		`a(?=b)`:         "lookahead",
		`^(?!tmp)`:       "lookahead",
		`(?<=a)b`:        "lookbehind",
		`(?<!a)b`:        "lookbehind",
		`(?P<x>a)(?P=x)`: "named backreference",
		`(a)\1`:          "backreference",
		`(a)\12`:         "backreference",
		`(a)?(?(1)b|c)`:  "conditional group",
		`(?>a+)b`:        "atomic group",
		`a(?#note)`:      "comment",
		`(?x) a b`:       "flag a, L, u or x",
		`(?ia)b`:         "flag a, L, u or x",
		`a*+b`:           "possessive quantifier",
		`a{2,3}+`:        "possessive quantifier",
		`a{,3}`:          "repetition {,n}",
		`txt\Z`:          `\Z`,
		`\u00e9`:         `escape \u, \U or \N`,
		`\N{DIGIT ONE}`:  `escape \u, \U or \N`,
		`[]](?=x)`:       "lookahead",
	} {
		_, err := CompilePattern(pattern)
		if err == nil || !strings.Contains(err.Error(), " has a "+want+",") {
			t.Errorf("%s: %v, want a %s", pattern, err, want)
		}
	}
}

func TestPatternsOfRE2(t *testing.T) {
	for pattern, names := range map[string][2]string{ // a name that matches, one that does not
		`^recording_\d+`:    {"recording_12", "my_recording_1"},
		`[(?=]a`:            {"=a", "a"},
		`\(\?=`:             {"(?=", "?="},
		`[*+]+`:             {"+", "-"},
		`a\++`:              {"a++", "a"},
		`(?i)\.TXT$`:        {"a.txt", "a.txt2"},
		`(?P<year>20\d\d)_`: {"2024_", "1999_"},
		`^a{2}$`:            {"aa", "aaa"},
		`\\Z`:               {`\Z`, "Z"},
		`\101`:              {"A", "B"},
		`[[:alpha:]]+\d`:    {"a1", "1"},
		`[^]]x`:             {"ax", "]x"},
		`a|^$`:              {"a", "b"},
		`\d{1,}?x`:          {"1x", "x"},
	} {
		re, err := CompilePattern(pattern)
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
			continue
		}
		if !re.MatchString(names[0]) || re.MatchString(names[1]) {
			t.Errorf("%s: %v", pattern, names)
		}
	}
}

func TestPatternFaultsAreOneLine(t *testing.T) {
	for _, pattern := range []string{"[", "(", "a**", `\`, "a\n(", "(?z)", "x{1001}"} {
		if _, err := CompilePattern(pattern); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", pattern, err)
		}
	}
}

func FuzzPattern(f *testing.F) {
	for _, seed := range []string{"", "a(?=b)", `[\]](?<!x)`, `\1`, `[`, `{,3}`, "é\xff", `\`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		re, err := CompilePattern(pattern)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
			return
		}
		if strings.Contains(pattern, "(?=") && !strings.ContainsAny(pattern, `\[`) {
			t.Errorf("%q compiled to %s", pattern, re)
		}
	})
}

// The page that authors read has every construct.
func TestConstructsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/pipeline.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range append(constructs, backreference) {
		if !strings.Contains(string(page), "| "+c.name+" |") {
			t.Errorf("docs/pipeline.md does not list %q", c.name)
		}
	}
}
