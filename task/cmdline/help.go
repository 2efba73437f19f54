package cmdline

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

const (
	usualWidth = 80
	leastWidth = 56
	// TigerFlow's tables have room for short flags and for flags that say no between a flag and its value. Where the words
	// about an option would get less than enoughHelp columns, they get that room.
	roomyGap   = "        "
	narrowGap  = "  "
	enoughHelp = 32
	leastHelp  = 16 // columns that the words get at least
	slurmFlags = 16 // columns of the flags of a Slurm task, as TigerFlow has them
)

// Help is the help text of a task, for a terminal of width columns, in the frame that TigerFlow's has.
func Help(program, summary string, options []Option, width int) string {
	var b strings.Builder
	b.WriteString("Usage: " + program + " [OPTIONS]\n\n" + summary + "\n\n")
	width = max(width, leastWidth)
	b.WriteString("╭─ Options " + strings.Repeat("─", width-12) + "╮\n")
	for _, row := range table(options, width-4) {
		b.WriteString("│ " + pad(row, width-4) + " │\n")
	}
	b.WriteString("╰" + strings.Repeat("─", width-2) + "╯\n")
	return b.String()
}

// table lists the options that are shown, each in one line or more.
func table(options []Option, width int) []string {
	options = slices.DeleteFunc(slices.Clone(options), func(o Option) bool { return o.Hidden })
	flags, kinds, gap := 0, 0, roomyGap
	for _, o := range options {
		flags, kinds = max(flags, cells(o.Spelled())), max(kinds, cells(o.Metavar))
		if o.Name == "sbatch_option" {
			flags = max(flags, slurmFlags)
		}
	}
	left := func() int { return width - 3 - flags - len(gap) - kinds - 2 }
	if left() < enoughHelp {
		gap = narrowGap
	}
	var rows []string
	for _, o := range options {
		mark := " "
		if o.Required && !o.Param {
			mark = "*"
		}
		row := mark + "  " + pad(o.Spelled(), flags) + gap + pad(o.Metavar, kinds) + "  "
		for i, text := range about(o, max(left(), leastHelp)) {
			if i > 0 {
				row = strings.Repeat(" ", cells(row))
			}
			rows = append(rows, row+text)
		}
	}
	return rows
}

// about is what is to be said about an option: in one line if it fits, else its default and whether it is required have
// lines of their own.
func about(o Option, width int) []string {
	var items []string
	if o.Help != "" {
		items = append(items, o.Help)
	}
	if o.Default != "" {
		items = append(items, "[default: "+o.Default+"]")
	}
	if o.Required && !o.Param {
		items = append(items, "[required]")
	}
	if line := strings.Join(items, " "); cells(line) <= width {
		return []string{line}
	}
	var lines []string
	for _, item := range items {
		lines = append(lines, wrap(item, width)...)
	}
	return lines
}

// wrap breaks a text at spaces; words that are too long are broken anywhere.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
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
