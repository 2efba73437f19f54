package handler

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

var shells = []string{"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"}

// scriptIndex finds the script of `sh -c SCRIPT` in a command, also behind a program that starts the shell
// (`timeout 10 bash -o pipefail -c SCRIPT`); it is -1 if there is none.
func scriptIndex(argv []string) int {
	for i, arg := range argv {
		if slices.Contains(shells, path.Base(arg)) {
			if script := afterOptions(argv, i+1); script >= 0 {
				return script
			}
		}
	}
	return -1
}

// afterOptions is the index of the first argument that is no option of a shell, if -c is among the options.
func afterOptions(argv []string, i int) int {
	isScript := false
	for ; i < len(argv) && len(argv[i]) > 1 && strings.Contains("-+", argv[i][:1]); i++ {
		if strings.HasPrefix(argv[i], "--") {
			continue
		}
		isScript = isScript || argv[i][0] == '-' && strings.Contains(argv[i], "c")
		if strings.ContainsAny(argv[i], "oO") { // its operand follows
			i++
		}
	}
	if !isScript || i >= len(argv) {
		return -1
	}
	return i
}

var placeholder = regexp.MustCompile(`^\{([a-z]+(?:\.[A-Za-z0-9_]+)?)\}`)

// quoteForShell replaces the placeholders of a script by expansions of environment variables, quoted as their place in
// the script asks for. A place that is misjudged (in a here-document, say) costs the right quotes, never more: the shell
// does not read the value of a variable as code.
func quoteForShell(script string, variable func(placeholder string) string) string {
	var out strings.Builder
	var in quotes
	for i := 0; i < len(script); {
		if found := placeholder.FindStringSubmatch(script[i:]); found != nil && variable(found[1]) != "" {
			out.WriteString(in.reference(variable(found[1])))
			i += len(found[0])
			continue
		}
		n := in.next(script[i:])
		out.WriteString(script[i : i+n])
		i += n
	}
	return out.String()
}

// quotes is the stack of what is open at a place of a shell script: ' or " for quotes, ( for what begins anew inside
// them, # for a comment.
type quotes struct {
	open  []byte
	inner bool // the place is inside a word, where # is no comment
}

func (q *quotes) top() byte {
	if len(q.open) == 0 {
		return 0
	}
	return q.open[len(q.open)-1]
}

func (q *quotes) push(c byte) { q.open = append(q.open, c) }
func (q *quotes) pop()        { q.open = q.open[:len(q.open)-1] }

// ends is the character that closes what another opened.
var ends = map[byte]byte{'\'': '\'', '"': '"', '(': ')', '#': '\n'}

// next takes in the next character, or a pair that belongs together, and returns its length.
func (q *quotes) next(s string) int {
	c, top, inner := s[0], q.top(), q.inner
	q.inner = !strings.ContainsRune(" \t\n;&|(", rune(c))
	literal := top == '\'' || top == '#'
	switch {
	case top != 0 && c == ends[top]:
		q.pop()
	case literal:
	case c == '\\' && len(s) > 1:
		return 2
	case strings.HasPrefix(s, "$("):
		q.push('(')
		q.inner = false
		return 2
	case top == '"':
	case strings.ContainsRune(`'"(`, rune(c)), c == '#' && !inner:
		q.push(c)
	}
	return 1
}

// reference expands a variable as one word.
func (q *quotes) reference(variable string) string {
	q.inner = true
	switch q.top() {
	case '"':
		return "${" + variable + "}"
	case '\'':
		return `'"${` + variable + `}"'`
	default:
		return `"${` + variable + `}"`
	}
}
