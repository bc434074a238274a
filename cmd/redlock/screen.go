package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"
)

// A screen is a terminal that a command has for itself until close. What the terminal showed before
// is there again afterwards.
type screen struct {
	out    *os.File
	before *term.State // of the keyboard; nil if it is no terminal
}

// ANSI sequences.
const (
	otherScreen = "\x1b[?1049h"
	usualScreen = "\x1b[?1049l"
	cutLines    = "\x1b[?7l" // at the right margin
	wrapLines   = "\x1b[?7h"
)

// openScreen takes over the terminal. ok is false, and nothing has changed, if out is none, or one
// without a movable cursor.
func openScreen(out any) (s *screen, ok bool) {
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return nil, false
	}
	s = &screen{out: f}
	if keys := int(os.Stdin.Fd()); term.IsTerminal(keys) {
		s.before, _ = term.MakeRaw(keys) // without it, q needs Enter
	}
	fmt.Fprint(f, otherScreen+hideCursor+cutLines+clearScreen)
	return s, true
}

// close gives the terminal back.
func (s *screen) close() error {
	_, err := fmt.Fprint(s.out, wrapLines+showCursor+usualScreen)
	if s.before != nil {
		err = errors.Join(err, term.Restore(int(os.Stdin.Fd()), s.before))
	}
	return err
}

// size returns how many columns and lines there are.
func (s *screen) size() (columns, lines int) {
	columns, lines, err := term.GetSize(int(s.out.Fd()))
	if err != nil || columns <= 0 || lines <= 0 {
		return 80, 24
	}
	return columns, lines
}

// draw shows lines instead of what was shown before.
func (s *screen) draw(lines []string) error {
	_, height := s.size()
	lines = lines[:min(len(lines), height)]
	_, err := fmt.Fprint(s.out, home+strings.Join(lines, clearLine+"\r\n")+clearLine+clearBelow)
	return err //nolint:wrapcheck // it says all
}

// untilQuit returns a context that ends when q or ^C is pressed, or the keyboard is gone. A raw
// keyboard sends ^C as a byte.
func (s *screen) untilQuit(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(parent)
	if s.before != nil {
		go func() { // until the process ends
			defer cancel()
			for pressed := make([]byte, 64); ; {
				n, err := os.Stdin.Read(pressed)
				if err != nil || strings.ContainsAny(string(pressed[:n]), "qQ\x03") {
					return
				}
			}
		}()
	}
	return ctx, cancel
}
