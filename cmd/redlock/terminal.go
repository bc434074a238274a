package main

import (
	"encoding/json"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/go-redlock/redlock"
)

// isTerminal reports whether w is a terminal, and how wide.
func isTerminal(w io.Writer) (width int, ok bool) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		width = 80
	}
	return width, true
}

// A paint colours text, where colours can be shown.
type paint bool

// painter returns the paint for output to w, which does nothing if that should not have colours:
// see no-color.org.
func painter(w io.Writer) paint {
	_, ok := isTerminal(w)
	return paint(ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb")
}

const (
	red    = "31"
	green  = "32"
	yellow = "33"
	blue   = "34"
	purple = "35"
	cyan   = "36"
	grey   = "90"
	bold   = "1"
)

func (p paint) in(colour, text string) string {
	if !p || text == "" || colour == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// ANSI sequences.
const (
	clearScreen = "\x1b[2J\x1b[H"
	home        = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
	hideCursor  = "\x1b[?25l"
	showCursor  = "\x1b[?25h"
)

// writeJSON writes one value on one line.
func writeJSON(w io.Writer, v any) error {
	return json.NewEncoder(w).Encode(v) //nolint:wrapcheck // a write error needs no context
}

// millis returns a duration for JSON.
func millis(d time.Duration) int64 {
	if d == redlock.Forever {
		return 0 // 0 is not printed
	}
	return d.Milliseconds()
}
