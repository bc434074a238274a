package pool

import (
	"bytes"
	"errors"
	"strconv"
)

const (
	// bytes of a string, or of a line, that a server may send: far more than any needs.
	maxString = 1 << 20
	maxItems  = 1024 // of an array, a set, a map
	maxHead   = 32   // bytes of a line that tells a length
)

// errTooMuch is the fate of a connection over which more was announced than anything we ask for
// has.
var errTooMuch = errors.New("the server announces too long an answer")

// A meter reads along what a server sends. go-redis makes room for whatever length an answer claims
// to have before any of it has come: a few bytes of a broken or hostile server would take all
// memory.
type meter struct {
	body int    // bytes of a string that are still to come, with the end of its line
	line int    // bytes of the present line that have come
	head []byte // the first of them
}

// fits reports whether what comes next announces no more than there may be.
func (m *meter) fits(b []byte) bool {
	for len(b) > 0 {
		if m.body > 0 {
			n := min(m.body, len(b))
			m.body -= n
			b = b[n:]
			continue
		}
		line, rest, whole := bytes.Cut(b, []byte{'\n'})
		m.line += len(line)
		m.head = append(m.head, line[:min(len(line), maxHead-len(m.head))]...)
		if m.line > maxString || whole && !m.announced() {
			return false
		}
		b = rest
	}
	return true
}

// announced looks at a line that is whole, and reports whether what it announces may come.
func (m *meter) announced() bool {
	head, whole := m.head, m.line < maxHead
	m.head, m.line = m.head[:0], 0
	if len(head) == 0 {
		return true
	}
	most, text := maxItems, false
	switch head[0] {
	case '$', '!', '=':
		most, text = maxString, true
	case '*', '~', '%', '>', '|':
	default:
		return true
	}
	n, err := strconv.Atoi(string(bytes.TrimSuffix(head[1:], []byte{'\r'})))
	if text && err == nil && n >= 0 {
		m.body = n + len("\r\n")
	}
	return whole && n <= most // of what is too large to be read n is the greatest there is
}
