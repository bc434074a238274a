package main

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// shown returns a text from elsewhere (a name, a label, an answer) in a form that is safe to print
// to a terminal. It is quoted if it contains unprintable characters, or looks like a quoted text.
func shown(text string) string {
	if strings.HasPrefix(text, `"`) || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}
