package distance

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// A Profile says how far the servers are, one for each round-trip time.
type Profile struct {
	// RTT is the time to a server and back; half of it is spent each way.
	RTT []time.Duration
	// Jitter is the fraction of itself by which a delay varies, up or down: 0.05 for 5 %. Packets
	// keep their order, so a late packet delays those behind it.
	Jitter float64
	// Loss is the fraction of the packets that is lost in each direction, for each server; for a
	// server without an entry no packet is lost.
	Loss []float64
	// Forget is the time without a packet after which a TCP connection is forgotten: its further
	// packets are dropped silently, as behind a balancer. Zero means never.
	Forget time.Duration
	// Seed decides which packets are lost, by their number on their way, and how late they are.
	Seed uint64
	// Log, if set, is called for each packet that is dropped. Calls may overlap.
	Log func(Drop)
}

// A Drop is a packet that did not arrive.
type Drop struct {
	Server int    // its number, from 0
	Out    bool   // to the server; otherwise from it
	Number uint64 // of the packet in this direction, from 1
	Why    string // "lost", "forgotten" or "crowded": more packets were under way than fit
}

// Counts are the packets of one server so far.
type Counts struct{ Carried, Lost, Forgotten, Crowded uint64 }

// A Link is two namespaces and the distance between them.
type Link struct {
	near, far *space
	devices   []*device
	carrier   *carrier
	servers   []net.IP
	mu        sync.Mutex
	started   []*exec.Cmd
	once      sync.Once
}

const (
	nearAddr = "10.78.0.1"
	farNet   = "10.77.0.0/24"
	maxFar   = 200
)

// serverIP returns the address of server i.
func serverIP(i int) net.IP { return net.IPv4(10, 77, 0, byte(10+i)).To4() }

// Open makes both namespaces and begins to carry packets.
func Open(p Profile) (*Link, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	l := &Link{}
	for i := range p.RTT {
		l.servers = append(l.servers, serverIP(i))
	}
	err := l.open(p)
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("distance: %w", err)
	}
	return l, nil
}

func (p Profile) check() error {
	switch {
	case len(p.RTT) == 0 || len(p.RTT) > maxFar:
		return fmt.Errorf("distance: %d round-trip times, not 1 to %d", len(p.RTT), maxFar)
	case p.Jitter < 0 || p.Jitter > 1:
		return fmt.Errorf("distance: a jitter of %v, not 0 to 1", p.Jitter)
	case len(p.Loss) > len(p.RTT):
		return fmt.Errorf("distance: loss for %d servers of %d", len(p.Loss), len(p.RTT))
	case p.Forget < 0:
		return fmt.Errorf("distance: connections forgotten after %v", p.Forget)
	}
	for i, d := range p.RTT {
		if d < 0 {
			return fmt.Errorf("distance: a round-trip time of %v to server %d", d, i+1)
		}
	}
	for i, part := range p.Loss {
		if part < 0 || part > 1 {
			return fmt.Errorf("distance: a loss of %v to server %d, not 0 to 1", part, i+1)
		}
	}
	return nil
}

func (l *Link) open(p Profile) (err error) {
	if l.near, err = newSpace(); err != nil {
		return err
	}
	if l.far, err = newSpace(); err != nil {
		return err
	}
	out := []string{
		"link set lo up",
		"address add " + nearAddr + "/32 dev lo",
		"link set tun0 up txqueuelen 10000",
		"route add " + farNet + " dev tun0 src " + nearAddr,
	}
	back := []string{"link set lo up", "link set tun0 up txqueuelen 10000", "route add " + nearAddr + "/32 dev tun0"}
	for _, ip := range l.servers {
		back = append(back, "address add "+ip.String()+"/32 dev lo")
	}
	for _, side := range []struct {
		space *space
		setup []string
	}{{l.near, out}, {l.far, back}} {
		d, err := openDevice(side.space, "tun0", side.setup)
		if err != nil {
			return err
		}
		l.devices = append(l.devices, d)
	}
	l.carrier = carry(p, l.devices[0], l.devices[1])
	return nil
}

// Near runs f in the namespace of the clients, and Far in that of the servers. Sockets that f makes
// and processes that it starts stay there. f must not wait for another call of the same side.
func (l *Link) Near(f func() error) error { return l.near.do(f) }

// Far is Near's counterpart.
func (l *Link) Far(f func() error) error { return l.far.do(f) }

// StartNear starts a command in the namespace of the clients. It ends with this process or with
// Close.
func (l *Link) StartNear(cmd *exec.Cmd) error { return l.start(l.near, cmd) }

// StartFar starts one in the namespace of the servers.
func (l *Link) StartFar(cmd *exec.Cmd) error { return l.start(l.far, cmd) }

func (l *Link) start(s *space, cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	// when the thread of the space ends, which is with this process or with Close
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := s.do(cmd.Start); err != nil {
		return fmt.Errorf("distance: start %s: %w", cmd.Path, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.started = append(l.started, cmd)
	return nil
}

// Addr returns host and port of a server, from 0, as clients see it.
func (l *Link) Addr(i, port int) string {
	return net.JoinHostPort(l.servers[i].String(), strconv.Itoa(port))
}

// Counts returns the packets so far to and from each server.
func (l *Link) Counts() []Counts { return l.carrier.counts() }

// Close ends all that was started and removes the namespaces. It may be called more than once.
func (l *Link) Close() {
	l.once.Do(func() {
		l.mu.Lock()
		for _, cmd := range l.started {
			_ = cmd.Process.Kill() // it may have ended
		}
		l.mu.Unlock()
		for _, d := range l.devices {
			_ = d.Close() // nothing of it is kept
		}
		if l.carrier != nil {
			l.carrier.close()
		}
		for _, s := range []*space{l.near, l.far} {
			if s != nil {
				s.close()
			}
		}
	})
}

// ErrDenied says that this process may not make namespaces or devices on this machine.
var ErrDenied = errors.New("it takes root and /dev/net/tun")
