package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/memnode"
)

// A condition is the state of a node.
type condition byte

const (
	up     condition = ' '
	frozen condition = '~'
	dead   condition = 'x'
)

// A posture is the state of an actor.
type posture byte

const (
	rests  posture = ' '
	waits  posture = '.'
	holds  posture = '#'
	sleeps posture = 'z'
	wakes  posture = '!'
)

// An actor is one contender.
type actor struct {
	name    string
	colour  string // of its marks
	turn    time.Duration
	pause   atomic.Bool   // it will be paused in its next turn
	paused  chan struct{} // closed when it has been paused
	posture posture
	lease   *redlock.Lease // the latest lease
}

// A ledger is the resource that the lock protects. It refuses a token smaller than the greatest it
// has seen.
type ledger struct {
	seen            uint64
	writes, stopped int
}

const (
	column = 500 * time.Millisecond // of the chart
	frame  = 100 * time.Millisecond
	told   = 9 // how many lines of narration are shown
)

// A stage holds the demo's nodes, actors and ledger, and what has happened so far.
type stage struct {
	out   io.Writer
	live  bool
	paint paint
	began time.Time
	nodes []*memnode.Node

	mu          sync.Mutex
	conditions  []condition
	actors      []*actor
	ledger      ledger
	turns, most int // how often the lock was taken, and by how many actors at once
	lines       []string
	// one row for each node, then one for each actor: who had the lock there, or a condition or
	// posture
	charts [][]byte
}

func newStage(out io.Writer, nodes []*memnode.Node, names ...string) *stage {
	_, live := isTerminal(out)
	st := &stage{out: out, live: live, paint: painter(out), began: time.Now(), nodes: nodes}
	for range nodes {
		st.conditions = append(st.conditions, up)
	}
	for i, name := range names {
		st.actors = append(st.actors, &actor{
			name: name, colour: []string{green, yellow, purple}[i], turn: time.Duration(700+300*i) * time.Millisecond, paused: make(chan struct{}),
		})
	}
	st.charts = make([][]byte, len(nodes)+len(names))
	return st
}

// say adds to the narration.
func (st *stage) say(text ...string) { st.tell(bold, text) }

// note adds a short remark to the narration.
func (st *stage) note(text ...string) { st.tell("", text) }

func (st *stage) tell(style string, text []string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	when := fmt.Sprintf("%5.1fs  ", time.Since(st.began).Seconds())
	for _, t := range text {
		line := when + st.paint.in(style, t)
		when = strings.Repeat(" ", len(when))
		st.lines = append(st.lines, line)
		if !st.live {
			fmt.Fprintln(st.out, line)
		}
	}
}

// sumUp adds the result to the narration.
func (st *stage) sumUp() {
	st.mu.Lock()
	most, turns, stopped := st.most, st.turns, st.ledger.stopped
	st.mu.Unlock()
	how := "never two at once"
	if most > 1 {
		how = fmt.Sprintf("%d AT ONCE", most)
	}
	st.say(fmt.Sprintf("%d turns, %s; stale writes stopped: %d.", turns, how, stopped))
}

// fail brings a node into a condition.
func (st *stage) fail(i int, c condition) {
	st.mu.Lock()
	defer st.mu.Unlock()
	switch n := st.nodes[i]; {
	case c == frozen:
		n.Freeze()
	case c == dead:
		n.Kill()
	case st.conditions[i] == frozen:
		n.Thaw()
	case st.conditions[i] == dead:
		n.Start(false)
	}
	st.conditions[i] = c
}

// set records what an actor is doing.
func (st *stage) set(a *actor, p posture) {
	st.mu.Lock()
	defer st.mu.Unlock()
	a.posture = p
}

// enter records that an actor has the lock.
func (st *stage) enter(a *actor, lease *redlock.Lease) {
	st.mu.Lock()
	a.posture, a.lease = holds, lease
	st.turns++
	inside := 0
	for _, other := range st.actors {
		if other.lease.Err() == nil {
			inside++
		}
	}
	st.most = max(st.most, inside)
	st.mu.Unlock()
	st.note(fmt.Sprintf("%s has the lock, token %d", a.name, lease.Fence()))
}

// write writes to the ledger, which may refuse it.
func (st *stage) write(a *actor, token uint64) {
	st.mu.Lock()
	refused, seen := token < st.ledger.seen, st.ledger.seen
	if refused {
		st.ledger.stopped++
	} else {
		st.ledger.seen = token
		st.ledger.writes++
	}
	st.mu.Unlock()
	if refused {
		st.say(fmt.Sprintf("%s wakes up and writes. Her token, %d, is below", a.name, token),
			fmt.Sprintf("the greatest that the ledger has seen, %d: %s", seen, st.paint.in(red, "REFUSED")))
	}
}

// draw shows the demo until ctx ends.
func (st *stage) draw(ctx context.Context) {
	if st.live {
		fmt.Fprint(st.out, hideCursor+clearScreen)
		defer fmt.Fprint(st.out, showCursor)
	}
	frames := time.NewTicker(frame)
	defer frames.Stop()
	for i := 0; ; i++ {
		select {
		case <-frames.C:
		case <-ctx.Done():
			st.show()
			return
		}
		if i%int(column/frame) == 0 {
			st.sample()
		}
		st.show()
	}
}

// sample adds a column to the charts.
func (st *stage) sample() {
	st.mu.Lock()
	defer st.mu.Unlock()
	for i := range st.nodes {
		mark := byte(st.conditions[i])
		if st.conditions[i] == up {
			mark = st.owner(i)
		}
		st.charts[i] = append(st.charts[i], mark)
	}
	for k, a := range st.actors {
		mark := byte(a.posture)
		if a.posture == holds {
			mark = a.name[0]
		}
		row := &st.charts[len(st.nodes)+k]
		*row = append(*row, mark)
	}
}

// owner returns the initial of the actor that has the lock on a node, or a dot. mu is held.
func (st *stage) owner(node int) byte {
	value, _, _ := st.nodes[node].Get(demoLock)
	_, label, _ := strings.Cut(value, ":")
	for _, a := range st.actors {
		if label == a.name {
			return a.name[0]
		}
	}
	return '.'
}

// show draws a frame.
func (st *stage) show() {
	if !st.live {
		return
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%s   %s\n\n", st.paint.in(bold, "redlock: a lock over five independent masters"), st.paint.in(grey, fmt.Sprintf("%.1f s", time.Since(st.began).Seconds())))
	st.chart(&b)
	fmt.Fprintf(&b, "\n  the ledger: %d writes, greatest token %d, stale writes stopped: %d\n\n", st.ledger.writes, st.ledger.seen, st.ledger.stopped)
	for _, line := range st.lines[max(0, len(st.lines)-told):] {
		b.WriteString(line + "\n")
	}
	fmt.Fprintf(st.out, "%s%s%s", home, strings.ReplaceAll(b.String(), "\n", clearLine+"\n"), clearBelow)
}

// chart draws who had the lock at which time, on each node and among the actors. mu is held.
func (st *stage) chart(b *strings.Builder) {
	width := 80
	if w, ok := isTerminal(st.out); ok {
		width = w
	}
	const margin = 25
	for i, row := range st.charts {
		if i == len(st.nodes) {
			b.WriteString("\n")
		}
		name, how, colour := "", "", ""
		if i < len(st.nodes) {
			name, how, colour = st.nodes[i].Addr(), "", ""
			switch st.conditions[i] {
			case frozen:
				how, colour = "frozen", cyan
			case dead:
				how, colour = "dead", red
			case up:
			}
		} else {
			a := st.actors[i-len(st.nodes)]
			name, colour = a.name, a.colour
			how = map[posture]string{rests: "rests", waits: "waits", holds: "has the lock", sleeps: "is paused", wakes: "writes"}[a.posture]
			if a.posture == sleeps || a.posture == wakes {
				colour = red
			}
		}
		fmt.Fprintf(b, "  %-6s %s ", name, st.paint.in(colour, fmt.Sprintf("%-12s", how)))
		for _, mark := range row[max(0, len(row)-max(width-margin, 10)):] {
			b.WriteString(st.cell(mark))
		}
		b.WriteString("\n")
	}
}

// cell draws one column of one row.
func (st *stage) cell(mark byte) string {
	text := string(mark)
	switch mark {
	case byte(frozen):
		return st.paint.in(cyan, text)
	case byte(dead), byte(sleeps), byte(wakes):
		return st.paint.in(red, text)
	case byte(waits):
		return st.paint.in(grey, "·")
	}
	for _, a := range st.actors {
		if mark == a.name[0] {
			return st.paint.in("30;4"+a.colour[1:], text)
		}
	}
	return text
}

// bow ends the demo. Without a terminal it prints the chart once.
func (st *stage) bow() {
	if st.live {
		return
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	var b strings.Builder
	b.WriteString("\nWho had the lock, every half second (~ frozen, x dead, z paused, ! stale write stopped):\n\n")
	st.chart(&b)
	fmt.Fprint(st.out, b.String())
}
