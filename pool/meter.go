package pool

import (
	"bytes"
	"errors"
	"strconv"
)

const (
	// bytes of a string, or of a line, that a server may send: far more than any answer has.
	maxString = 1 << 20
	maxItems  = 1024 // of an array, a set, a map
	maxHead   = 32   // bytes of a line that announces a length
)

// errTooMuch is the error of a connection over which the server announced more than any answer to
// our requests has.
var errTooMuch = errors.New("the server announces too long an answer")

// A meter checks everything that a server sends. go-redis allocates whatever length an answer
// announces, before the data comes: a few bytes from a broken or hostile server could use up all
// memory.
type meter struct {
	body int    // bytes of a string that are still to come, with the end of its line
	line int    // bytes of the present line that have come
	head []byte // the first of them
}

// fits reports whether the next bytes announce no more than is allowed.
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

// announced checks a complete line, and reports whether the length in it is allowed.
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
	return whole && n <= most // if the number is too large to parse, n is the greatest int
}
