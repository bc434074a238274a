package main

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// shown returns a text of others (a name, a label, an answer) as it can be printed to a terminal:
// quoted, if it holds what is not printable, or could be taken for a quoted one.
func shown(text string) string {
	if strings.HasPrefix(text, `"`) || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}
