package distance

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	mtu   = 2048  // more than a packet has
	queue = 65536 // packets under way on one way
)

// A carrier takes packets from one device to the other.
type carrier struct {
	profile Profile
	servers []*server
	readers sync.WaitGroup
	writers sync.WaitGroup
}

// A server holds what is known about one server.
type server struct {
	out, back                         *way
	carried, lost, forgotten, crowded atomic.Uint64
	mu                                sync.Mutex
	seen                              map[flow]time.Time // when a connection was last used
}

// A flow is a connection: the ports of both ends.
type flow uint32

// A way is one direction to one server. It keeps packets in their order.
type way struct {
	number  uint64 // of packets so far
	dice    *rand.Rand
	last    time.Time
	packets chan packet
}

type packet struct {
	due  time.Time
	data []byte
}

func carry(p Profile, near, far *device) *carrier {
	c := &carrier{profile: p}
	for i := range p.RTT {
		s := &server{seen: make(map[flow]time.Time)}
		for j, w := range []**way{&s.out, &s.back} {
			*w = &way{
				dice:    rand.New(rand.NewPCG(p.Seed, uint64(2*i+j))), //nolint:gosec // loss, no secret
				packets: make(chan packet, queue),
			}
		}
		c.servers = append(c.servers, s)
		c.writers.Go(func() { s.out.deliver(far) })
		c.writers.Go(func() { s.back.deliver(near) })
	}
	c.readers.Go(func() { c.read(near, true) })
	c.readers.Go(func() { c.read(far, false) })
	return c
}

// close waits until a carrier whose devices are closed has ended.
func (c *carrier) close() {
	c.readers.Wait()
	for _, s := range c.servers {
		close(s.out.packets)
		close(s.back.packets)
	}
	c.writers.Wait()
}

func (c *carrier) counts() []Counts {
	all := make([]Counts, len(c.servers))
	for i, s := range c.servers {
		all[i] = Counts{s.carried.Load(), s.lost.Load(), s.forgotten.Load(), s.crowded.Load()}
	}
	return all
}

// read reads packets from a device until it is closed.
func (c *carrier) read(d *device, out bool) {
	buffer := make([]byte, mtu)
	for {
		n, err := d.Read(buffer)
		if err != nil {
			return
		}
		now := time.Now()
		if i, ok := c.server(buffer[:n], out); ok {
			c.take(i, out, now, append([]byte(nil), buffer[:n]...))
		}
	}
}

// server returns the server that a packet goes to or comes from.
func (c *carrier) server(p []byte, out bool) (int, bool) {
	if len(p) < 20 || p[0]>>4 != 4 {
		return 0, false // not a packet of the tests: IPv6 looks for neighbours
	}
	ip := p[12:16]
	if out {
		ip = p[16:20]
	}
	i := int(ip[3]) - 10
	return i, i >= 0 && i < len(c.servers) && serverIP(i).Equal(ip)
}

// take queues a packet, or drops it.
func (c *carrier) take(i int, out bool, now time.Time, data []byte) {
	s := c.servers[i]
	w := s.back
	if out {
		w = s.out
	}
	w.number++
	// always both numbers, so that the number of a packet decides its fate
	luck, spread := w.dice.Float64(), 2*w.dice.Float64()-1
	drop := func(count *atomic.Uint64, why string) {
		count.Add(1)
		if c.profile.Log != nil {
			c.profile.Log(Drop{Server: i, Out: out, Number: w.number, Why: why})
		}
	}
	if !s.known(data, out, now, c.profile.Forget) {
		drop(&s.forgotten, "forgotten")
		return
	}
	if i < len(c.profile.Loss) && luck < c.profile.Loss[i] {
		drop(&s.lost, "lost")
		return
	}
	delay := float64(c.profile.RTT[i]) / 2 * (1 + c.profile.Jitter*spread)
	due := now.Add(time.Duration(delay))
	if due.Before(w.last) {
		due = w.last
	}
	w.last = due
	select {
	case w.packets <- packet{due, data}:
		s.carried.Add(1)
	default:
		drop(&s.crowded, "crowded")
	}
}

// known reports whether the packet's connection is new or was used within the limit.
func (s *server) known(p []byte, out bool, now time.Time, limit time.Duration) bool {
	const tcp, syn = 6, 0x02
	header := int(p[0]&0xf) * 4
	if limit == 0 || p[9] != tcp || len(p) < header+14 {
		return true
	}
	from, to := binary.BigEndian.Uint16(p[header:]), binary.BigEndian.Uint16(p[header+2:])
	if !out {
		from, to = to, from
	}
	f := flow(from)<<16 | flow(to)
	s.mu.Lock()
	defer s.mu.Unlock()
	last, found := s.seen[f]
	if out && p[header+13]&syn != 0 || found && now.Sub(last) <= limit {
		s.seen[f] = now
		return true
	}
	return false
}

// deliver writes each packet when it is due. It sleeps in the kernel, which wakes it within a tenth
// of a millisecond; the runtime's timers may be a millisecond late.
func (w *way) deliver(d *device) {
	for p := range w.packets {
		for left := time.Until(p.due); left > 0; left = time.Until(p.due) {
			span := syscall.NsecToTimespec(int64(left))
			_ = syscall.Nanosleep(&span, nil) // a signal ends it early
		}
		_, _ = d.Write(p.data) // a device that is closed, or down, takes none
	}
}
