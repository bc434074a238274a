package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/go-redlock/redlock/integration/clocks"
	"github.com/go-redlock/redlock/integration/history"
)

// environment is the variable by which this program knows that it is a client.
const environment = "REDLOCK_CHAOS_CLIENT"

// A process is a running client.
type process struct {
	id    int
	cmd   *exec.Cmd
	in    io.WriteCloser
	heard chan struct{} // closed when all its reports have been recorded
}

// startClient starts a client in that place.
func (r *run) startClient(ctx context.Context, place int) error {
	r.mu.Lock()
	r.started++
	o := orders{ID: r.started, Seed: r.random.Uint64(), Nodes: r.servers.addrs(), TTL: ttl, Rate: 1}
	if !r.wild { // clocks run at different rates, within the assumption
		o.Guard, o.Rate = ttl, 0.996+0.008*r.random.Float64()
	}
	r.mu.Unlock()
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	p := &process{id: o.ID, cmd: exec.CommandContext(ctx, self), heard: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), environment+"="+string(text))
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go p.listen(out, r.record)
	r.clients[place] = p
	return nil
}

// listen records what the client reports.
func (p *process) listen(out io.Reader, to *record) {
	defer close(p.heard)
	for in := json.NewDecoder(out); ; {
		var said report
		if in.Decode(&said) != nil {
			return
		}
		to.note(p.id, said)
	}
}

func (p *process) signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

func (p *process) order(text string) error {
	_, err := fmt.Fprintln(p.in, text)
	return err
}

// crash kills the client, which ends its leases.
func (p *process) crash(to *record) {
	_ = p.signal(syscall.SIGKILL)
	at := clocks.Monotonic()
	<-p.heard
	_ = p.cmd.Wait()
	to.died(p.id, at)
}

// stop makes the client finish.
func (p *process) stop() error {
	_ = p.in.Close()
	timer := time.AfterFunc(time.Minute, func() { _ = p.signal(syscall.SIGKILL) })
	defer timer.Stop()
	<-p.heard
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("client %d: %w", p.id, err)
	}
	return nil
}

// A record holds what the clients reported.
type record struct {
	mu       sync.Mutex
	leases   map[[2]int]*recorded // by client and its number
	over     []history.Lease
	wants    []history.Want // calls that got no lease
	kinds    map[string]int // of what was had
	failures map[string]int
	broken   []string
	writes   int
	guarded  resource // checks tokens
	open     resource // does not
}

// A recorded lease has not ended.
type recorded struct {
	history.Lease
	until int64 // or 0 if it renews itself
}

func newRecord() *record {
	return &record{
		leases: make(map[[2]int]*recorded), kinds: make(map[string]int), failures: make(map[string]int),
		guarded: resource{checks: true, greatest: make(map[part]uint64)}, open: resource{greatest: make(map[part]uint64)},
	}
}

func (r *record) note(client int, said report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := [2]int{client, said.Lease}
	switch said.What {
	case locked:
		r.kinds[said.Kind]++
		r.leases[key] = &recorded{history.Lease{
			Holder: client, Name: said.Name, Slot: said.Slot, Permits: said.Permits, Shared: said.Shared, Token: said.Token,
			Called: said.Called, Locked: said.At, Ended: history.Unknown, Freed: history.Unknown,
		}, said.Until}
	case ended:
		r.leases[key].Ended = said.At
	case freed:
		r.leases[key].Freed = said.At
	case write:
		r.writes++
		of := part{said.Name, said.Permits, said.Slot}
		r.guarded.write(of, said.Token)
		r.open.write(of, said.Token)
	case failed:
		r.failures[said.Text]++
		r.wants = append(r.wants, history.Want{Name: said.Name, Permits: said.Permits, Called: said.Called, Ended: said.At})
	case broken:
		r.broken = append(r.broken, said.Text)
	}
}

// holds reports whether the client has that lock.
func (r *record) holds(client int, name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, h := range r.leases {
		if key[0] == client && h.Name == name && h.Ended == history.Unknown {
			return true
		}
	}
	return false
}

// died records that a client was killed: its leases ended then at the latest.
func (r *record) died(client int, at int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, h := range r.leases {
		if key[0] == client && h.Ended == history.Unknown {
			if h.Ended = at; h.until != 0 {
				h.Ended = min(at, h.until)
			}
		}
	}
}

// history returns the leases of all clients.
func (r *record) history() []history.Lease {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.leases {
		r.over = append(r.over, h.Lease)
	}
	clear(r.leases)
	return r.over
}

// A resource is what the locks protect: a part for each lock, and for each slot of a semaphore. One
// resource checks tokens, as each resource should that must not be harmed; the other does not.
type resource struct {
	checks   bool
	greatest map[part]uint64
	refused  int // stale writes
	let      int // stale writes that were accepted
}

type part struct {
	name          string
	permits, slot int
}

func (r *resource) write(of part, token uint64) {
	if token < r.greatest[of] {
		if r.checks {
			r.refused++
			return
		}
		r.let++
	}
	r.greatest[of] = max(r.greatest[of], token)
}
