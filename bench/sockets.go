package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // the name that Redis gives a script
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
)

// socketLocker is the limit for a lock over a quorum: one TCP connection to each node, no client
// library, and it returns at the quorum. Commands that are sent on a connection at the same time
// share writes. It has no timeouts and no fencing, and does not cope with nodes that fail.
type socketLocker struct{ wires []*wire }

func openSockets(_ context.Context, addrs []string) (locker, error) {
	l := &socketLocker{}
	for _, a := range addrs {
		w, err := newWire(a, deleteIfMine)
		if err != nil {
			return nil, errors.Join(err, l.close())
		}
		l.wires = append(l.wires, w)
	}
	return l, nil
}

func (l *socketLocker) close() error {
	var errs []error
	for _, w := range l.wires {
		errs = append(errs, w.conn.Close())
	}
	return errors.Join(errs...)
}

var (
	deleteSHA = sha1Hex(deleteIfMine)
	ttlText   = strconv.FormatInt(ttl.Milliseconds(), 10)
)

func sha1Hex(script string) string {
	sum := sha1.Sum([]byte(script)) //nolint:gosec // see above
	return hex.EncodeToString(sum[:])
}

type socketLock struct {
	locker      *socketLocker
	name, owner string
}

func (l *socketLocker) lock(_ context.Context, name string) (held, error) {
	h := &socketLock{l, name, rand.Text()}
	if !ask(l.wires, command("SET", name, h.owner, "NX", "PX", ttlText)) {
		return nil, errors.New("held by another")
	}
	return h, nil
}

func (h *socketLock) unlock(context.Context) error {
	if !ask(h.locker.wires, command("EVALSHA", deleteSHA, "1", h.name, h.owner)) {
		return errNotDeleted
	}
	return nil
}

// ask sends a command to all nodes, and returns whether a majority said yes as soon as one did or
// no longer can.
func ask(wires []*wire, command []byte) bool {
	b := newBallot(len(wires))
	for _, w := range wires {
		w.send(command, b)
	}
	return <-b.decided
}

// A ballot counts answers.
type ballot struct {
	yes, no, need, spare int32
	decided              chan bool
}

func newBallot(nodes int) *ballot {
	return &ballot{need: int32(nodes/2 + 1), spare: int32((nodes - 1) / 2), decided: make(chan bool, 1)} //nolint:gosec // few nodes
}

func (b *ballot) count(yes bool) {
	switch {
	case yes && atomic.AddInt32(&b.yes, 1) == b.need:
		b.decided <- true
	case !yes && atomic.AddInt32(&b.no, 1) == b.spare+1:
		b.decided <- false
	}
}

// command encodes a command.
func command(words ...string) []byte {
	b := make([]byte, 0, 160)
	b = append(b, '*')
	b = strconv.AppendInt(b, int64(len(words)), 10)
	for _, w := range words {
		b = append(b, "\r\n$"...)
		b = strconv.AppendInt(b, int64(len(w)), 10)
		b = append(b, "\r\n"...)
		b = append(b, w...)
	}
	return append(b, "\r\n"...)
}

// A wire is a connection to one node. A goroutine that finds it idle writes, and goes on writing
// what others add meanwhile.
type wire struct {
	conn net.Conn

	mu      sync.Mutex
	writing bool
	out     []byte    // waits to be written
	spare   []byte    // the previous buffer
	asked   []*ballot // in the order of the commands
	failed  bool
}

func newWire(addr, script string) (*wire, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("bare sockets: %w", err)
	}
	w := &wire{conn: conn}
	r := bufio.NewReader(conn)
	if _, err := conn.Write(command("SCRIPT", "LOAD", script)); err != nil {
		return nil, fmt.Errorf("bare sockets: %w", err)
	}
	for range 2 { // $40, and the hash
		if _, err := r.ReadSlice('\n'); err != nil {
			return nil, fmt.Errorf("bare sockets: %w", err)
		}
	}
	go w.read(r)
	return w, nil
}

func (w *wire) send(command []byte, b *ballot) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed {
		b.count(false)
		return
	}
	w.asked = append(w.asked, b)
	w.out = append(w.out, command...)
	if w.writing {
		return
	}
	w.writing = true
	for len(w.out) > 0 {
		out := w.out
		w.out = w.spare[:0]
		w.mu.Unlock()
		_, err := w.conn.Write(out)
		w.mu.Lock()
		w.spare = out
		if err != nil {
			break // the reader sees it too
		}
	}
	w.writing = false
}

// read passes the answers to their ballots: +OK and :1 are yes, $-1, :0 and errors are no.
func (w *wire) read(r *bufio.Reader) {
	for {
		line, err := r.ReadSlice('\n')
		w.mu.Lock()
		if err != nil {
			w.failed = true
			for _, b := range w.asked {
				b.count(false)
			}
			w.mu.Unlock()
			return
		}
		b := w.asked[0]
		w.asked = w.asked[1:]
		w.mu.Unlock()
		b.count(line[0] == '+' || line[0] == ':' && line[1] == '1')
	}
}
