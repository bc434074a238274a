package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
)

// passOn is the ring's release on one node: it deletes the key and notifies the next client.
const passOn = `if redis.call("get",KEYS[1]) == ARGV[1] then redis.call("del",KEYS[1]) end redis.call("publish",ARGV[2],ARGV[3]) return 1`

// A ring is the limit for a fair lock over a quorum: bare sockets, with one notification and one
// round trip for each turn. Its clients take turns in a fixed order. The holder's release deletes
// the key and notifies the next client in one script on each node. When a majority of the nodes has
// notified the next client, it sets the key on all nodes, and holds the lock when a majority has
// answered OK. The ring stops as soon as one client does not take its turn.
type ring struct{ clients []*ringLocker }

// open adds a client. All are opened before the first locks.
func (r *ring) open(_ context.Context, addrs []string) (locker, error) {
	l := &ringLocker{ring: r, index: len(r.clients), told: map[int]int{}, turn: make(chan int, 1)}
	for _, a := range addrs {
		w, err := newWire(a, passOn)
		if err != nil {
			return nil, errors.Join(err, l.close())
		}
		l.wires = append(l.wires, w)
		if err := l.listen(a); err != nil {
			return nil, errors.Join(err, l.close())
		}
	}
	if l.index == 0 {
		l.turn <- 0
	}
	r.clients = append(r.clients, l)
	return l, nil
}

type ringLocker struct {
	ring  *ring
	index int
	wires []*wire
	inbox []net.Conn
	turn  chan int // gets the number of each turn that is this client's

	mu   sync.Mutex
	told map[int]int // how many nodes have announced a turn, by its number
}

func (l *ringLocker) close() error {
	var errs []error
	for _, w := range l.wires {
		errs = append(errs, w.conn.Close())
	}
	for _, c := range l.inbox {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

func (l *ringLocker) channel() string { return fmt.Sprintf("bench:ring:%d", l.index) }

// listen subscribes to the client's channel on one node.
func (l *ringLocker) listen(addr string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return fmt.Errorf("ring: %w", err)
	}
	l.inbox = append(l.inbox, conn)
	if _, err := conn.Write(command("SUBSCRIBE", l.channel())); err != nil {
		return fmt.Errorf("ring: %w", err)
	}
	r := bufio.NewReader(conn)
	if _, err := lines(r, 6); err != nil { // *3, and of two words length and text, and a number
		return err
	}
	go l.read(r)
	return nil
}

// read counts one node's notification.
func (l *ringLocker) read(r *bufio.Reader) {
	for {
		message, err := lines(r, 7) // *3, and of three words length and text
		if err != nil {
			return
		}
		turn, err := strconv.Atoi(message)
		if err != nil {
			panic(fmt.Sprintf("a node told %q", message)) // nobody else publishes there
		}
		l.mu.Lock()
		l.told[turn]++
		if l.told[turn] == len(l.wires)/2+1 {
			l.turn <- turn
		}
		if l.told[turn] == len(l.wires) {
			delete(l.told, turn)
		}
		l.mu.Unlock()
	}
}

// lines reads n lines and returns the last.
func lines(r *bufio.Reader, n int) (string, error) {
	var line string
	for range n {
		text, err := r.ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("ring: %w", err)
		}
		line = strings.TrimRight(text, "\r\n")
	}
	return line, nil
}

type ringLock struct {
	locker      *ringLocker
	name, owner string
	turn        int
}

func (l *ringLocker) lock(ctx context.Context, name string) (held, error) {
	select {
	case turn := <-l.turn:
		h := &ringLock{l, name, rand.Text(), turn}
		// Without NX: a node that is behind carries out the previous release later, and then finds
		// another owner's key.
		if !ask(l.wires, command("SET", name, h.owner, "PX", ttlText)) {
			return nil, errors.New("no majority said OK")
		}
		return h, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (h *ringLock) unlock(context.Context) error {
	next := h.locker.ring.clients[(h.locker.index+1)%len(h.locker.ring.clients)]
	release := command("EVALSHA", sha1Hex(passOn), "1", h.name, h.owner, next.channel(), strconv.Itoa(h.turn+1))
	if !ask(h.locker.wires, release) {
		return errNotDeleted
	}
	return nil
}
