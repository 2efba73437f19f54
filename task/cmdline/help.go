package cmdline

import (
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

const (
	usualWidth = 80
	leastWidth = 56
	leastHelp  = 16 // columns that the words about an option get at least
)

// Help is the help text of a task, for a terminal of width columns.
func Help(program, summary string, options []Option, width int) string {
	var b strings.Builder
	b.WriteString("Usage: " + program + " [OPTIONS]\n\n" + summary + "\n\n")
	width = max(width, leastWidth)
	b.WriteString("╭─ Options " + strings.Repeat("─", width-12) + "╮\n")
	var shown []Option
	for _, o := range options {
		if !o.Hidden {
			shown = append(shown, o)
		}
	}
	flags, kinds := 0, 0
	for _, o := range shown {
		flags, kinds = max(flags, cells(o.Spelled())), max(kinds, cells(o.Metavar))
	}
	words := max(width-4-3-flags-2-kinds-2, leastHelp)
	for _, o := range shown {
		mark := " "
		if o.Required && !o.Param {
			mark = "*"
		}
		for i, text := range wrap(about(o), words) {
			row := strings.Repeat(" ", 3+flags+2+kinds+2)
			if i == 0 {
				row = mark + "  " + pad(o.Spelled(), flags) + "  " + pad(o.Metavar, kinds) + "  "
			}
			b.WriteString("│ " + pad(row+text, width-4) + " │\n")
		}
	}
	b.WriteString("╰" + strings.Repeat("─", width-2) + "╯\n")
	return b.String()
}

func about(o Option) string {
	text := o.Help
	if o.Default != "" {
		text += " [default: " + o.Default + "]"
	}
	if o.Required && !o.Param {
		text += " [required]"
	}
	return strings.TrimSpace(text)
}

// wrap breaks a text at spaces; words that are too long are broken anywhere. What stands in brackets stays together where it
// fits.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range words(text) {
		for cells(word) > width {
			if line != "" {
				lines, line = append(lines, line), ""
			}
			cut := string([]rune(word)[:width])
			lines, word = append(lines, cut), word[len(cut):]
		}
		switch {
		case line == "":
			line = word
		case cells(line)+1+cells(word) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	return append(lines, line)
}

// words are divided by spaces, but not in brackets.
func words(text string) []string {
	var all []string
	for word := range strings.FieldsSeq(text) {
		if n := len(all); n > 0 && strings.HasPrefix(all[n-1], "[") && !strings.HasSuffix(all[n-1], "]") {
			all[n-1] += " " + word
			continue
		}
		all = append(all, word)
	}
	return all
}

func cells(s string) int { return utf8.RuneCountInString(s) }

func pad(s string, width int) string { return s + strings.Repeat(" ", max(0, width-cells(s))) }

// Width is how wide the help is to be: COLUMNS, else the terminal that f is, else 80 columns.
func Width(f *os.File) int {
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 {
		return int(size.Col)
	}
	return usualWidth
}
