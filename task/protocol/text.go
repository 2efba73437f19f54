package protocol

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Printable spells bytes that are not UTF-8 as \xNN, so that a text with a stray file name in it survives JSON.
func Printable(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		if r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD") {
			fmt.Fprintf(&b, `\x%02x`, s[i])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

const ellipsis = "…"

// Head keeps the beginning of a text that is longer than limit bytes and says so with an ellipsis.
func Head(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	end := limit - len(ellipsis)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + ellipsis
}

// Tail keeps the end of a text that is longer than limit bytes and says so with an ellipsis.
func Tail(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	start := len(s) - limit + len(ellipsis)
	for start < len(s) && !utf8.RuneStart(s[start]) {
		start++
	}
	return ellipsis + s[start:]
}
