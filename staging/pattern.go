package staging

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
)

// construct is a part of Python's regular expressions that RE2 lacks, or takes for something else.
type construct struct {
	name string // as docs/pipeline.md lists it
	mend string
	at   *regexp.Regexp // matches where one begins, outside of a class of characters
}

var (
	useSteps = "split it into several filenameMatch steps, or use a callable"

	// constructs in the order in which they are told apart.
	constructs = []construct{
		{"lookahead", useSteps, regexp.MustCompile(`^\(\?[=!]`)},
		{"lookbehind", useSteps, regexp.MustCompile(`^\(\?<[=!]`)},
		{"named backreference", "write out what is to repeat, or use a callable", regexp.MustCompile(`^\(\?P=`)},
		{"conditional group", "write the cases as alternatives with |", regexp.MustCompile(`^\(\?\(`)},
		{"atomic group", "use a plain group (?:…)", regexp.MustCompile(`^\(\?>`)},
		{"comment", "leave it out", regexp.MustCompile(`^\(\?#`)},
		{"flag a, L, u or x", "leave it out: names are matched as with a, and x needs the pattern without blanks", regexp.MustCompile(`^\(\?[aiLmsux]*[aLux][aiLmsux]*[-):]`)},
		{"possessive quantifier", "leave out the last +", regexp.MustCompile(`^([*+?]|\{[0-9]*,?[0-9]*\})\+`)},
		{"repetition {,n}", "write {0,n}", regexp.MustCompile(`^\{,[0-9]+\}`)},
		{`\Z`, `write \z`, regexp.MustCompile(`^\\Z`)},
		{`escape \u, \U or \N`, `write the character itself, or \x{…} with its number`, regexp.MustCompile(`^\\[uUN]`)},
	}

	backreference = construct{"backreference", "write out what is to repeat, or use a callable", regexp.MustCompile(`^\\[1-9]`)}
	octal         = regexp.MustCompile(`^\\[0-3][0-7][0-7]`)
	class         = regexp.MustCompile(`^\[\^?\]?(?:\[:\^?[a-z]+:\]|\\.|[^\]\\])*\]`)
)

// CompilePattern reads a pattern of RE2. A pattern with what only Python's re understands is refused by the name of that.
func CompilePattern(pattern string) (*regexp.Regexp, error) {
	if c, at := beyondRE2(pattern); c != nil {
		return nil, fmt.Errorf("the pattern %q has a %s, %.12q, which RE2 does not have: %s", pattern, c.name, at, c.mend)
	}
	re, err := regexp.Compile(pattern)
	if fault, ok := errors.AsType[*syntax.Error](err); ok {
		return nil, fmt.Errorf("the pattern %q: %s: %q", pattern, fault.Code, fault.Expr)
	}
	return re, err
}

// beyondRE2 finds the first construct of Python that RE2 lacks, and the pattern from there on.
func beyondRE2(pattern string) (*construct, string) {
	for rest := pattern; rest != ""; {
		if c := class.FindString(rest); c != "" {
			rest = rest[len(c):]
			continue
		}
		for i := range constructs {
			if constructs[i].at.MatchString(rest) {
				return &constructs[i], rest
			}
		}
		switch {
		case octal.MatchString(rest):
			rest = rest[4:]
		case backreference.at.MatchString(rest):
			return &backreference, rest
		case rest[0] == '\\' && len(rest) > 1:
			rest = rest[2:]
		default:
			rest = rest[1:]
		}
	}
	return nil, ""
}
