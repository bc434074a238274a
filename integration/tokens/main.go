// Command tokens shows that fencing tokens neither repeat nor fall. Client processes take locks
// over five redis-servers while there are faults. Each records its tokens, and the records are
// checked at the end.
//
//	go run ./tokens -count 100000 -mode clocks   # holders stopped, one clock at a time shifted by hours, lock keys deleted and expired
//	go run ./tokens -count 100000 -mode losses   # one server at a time flushed or restarted empty; all clocks agree
//
// It exits with 1 if a token repeats, if one is lower than another that was returned before its
// attempt began, or if there are fewer acquisitions than asked for. It needs redis-server and, for
// clocks, libfaketime.
package main

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/integration/clocks"
)

const (
	size = 5 // servers
	ttl  = 200 * time.Millisecond
)

// A run is one run of the program.
type run struct {
	mode    string
	seed    uint64
	dir     string
	servers []*server
	clients []*process

	mu     sync.Mutex
	faults map[string]int
}

func main() {
	redis.SetLogger(silence{}) // it would report each connection that fails
	do := command
	if text := os.Getenv(environment); text != "" {
		do = func() error { return work(text) }
	}
	if err := do(); err != nil {
		fmt.Fprintln(os.Stderr, "tokens:", err)
		os.Exit(1)
	}
}

// silence is a logger that says nothing.
type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

func command() error {
	count := flag.Int("count", 100_000, "acquisitions")
	mode := flag.String("mode", "clocks", "what goes wrong: clocks or losses")
	clients := flag.Int("clients", 4, "client processes")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of what is left to chance")
	limit := flag.Duration("limit", 15*time.Minute, "how long it may take")
	flag.Parse()
	if modes[*mode] == nil || *clients < 1 || *count < 1 {
		return errors.New("-mode is clocks or losses; -clients and -count are at least 1")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	dir, err := os.MkdirTemp("", "redlock-tokens-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r := &run{mode: *mode, seed: *seed, dir: dir, clients: make([]*process, *clients), faults: make(map[string]int)}
	began := time.Now()
	all, err := r.live(ctx, *count)
	if err != nil {
		return err
	}
	v := check(all)
	fmt.Printf("%s: %d acquisitions by %d processes in %.0f s, seed %d\n", r.mode, len(all), *clients, time.Since(began).Seconds(), r.seed)
	for _, name := range slices.Sorted(maps.Keys(r.faults)) {
		fmt.Printf("%6d  %s\n", r.faults[name], name)
	}
	fmt.Printf("repeated tokens: %d; tokens below one returned before: %d\n", len(v.repeated), len(v.falling))
	return r.judge(&v, len(all), *count)
}

// judge returns what is wrong.
func (r *run) judge(v *verdict, had, asked int) error {
	for _, pair := range slices.Concat(v.repeated, v.falling) {
		fmt.Printf("  %v\n  %v\n\n", pair[0], pair[1])
	}
	if len(v.repeated)+len(v.falling) > 0 {
		return errors.New("tokens repeat or fall")
	}
	if had < asked {
		return fmt.Errorf("%d acquisitions, not %d", had, asked)
	}
	for _, row := range modes[r.mode] {
		for _, f := range row {
			if r.faults[f.name] == 0 {
				return fmt.Errorf("no %s: nothing was shown about it", f.name)
			}
		}
	}
	return nil
}

// live starts everything, makes faults until the clients have enough, and returns their records.
func (r *run) live(ctx context.Context, count int) ([]record, error) {
	defer func() {
		for _, s := range r.servers {
			s.stop()
		}
	}()
	if err := r.startServers(ctx); err != nil {
		return nil, err
	}
	for i := range r.clients {
		if err := r.startClient(i, (count+len(r.clients)-1)/len(r.clients)); err != nil {
			return nil, err
		}
	}
	playing, quit := context.WithCancel(ctx)
	var failed error
	var play sync.WaitGroup
	play.Go(func() {
		if failed = r.play(playing); failed != nil {
			quit()
		}
	})
	all, err := r.await(playing)
	quit()
	play.Wait()
	return all, errors.Join(failed, err)
}

func (r *run) startServers(ctx context.Context) error {
	library := ""
	if r.mode == "clocks" {
		var err error
		if library, err = clocks.Preload(); err != nil {
			return err
		}
	}
	for i := range size {
		s, err := newServer(ctx, r.dir, library, i)
		if s != nil {
			r.servers = append(r.servers, s)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A process is a running client.
type process struct {
	cmd     *exec.Cmd
	in      io.Closer
	clock   string // the file with the offset of its clock
	records string
}

func (r *run) startClient(i, count int) error {
	p := &process{
		clock:   filepath.Join(r.dir, fmt.Sprintf("client-%d.clock", i)),
		records: filepath.Join(r.dir, fmt.Sprintf("client-%d.records", i)),
	}
	o := orders{Seed: r.seed + uint64(i), Count: count, Clock: p.clock, Records: p.records}
	for _, s := range r.servers {
		o.Nodes = append(o.Nodes, s.addr)
	}
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	p.cmd = exec.Command(self)
	p.cmd.Env = append(os.Environ(), environment+"="+string(text))
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	if err := errors.Join(p.shift(0), p.cmd.Start()); err != nil {
		return err
	}
	r.clients[i] = p
	return nil
}

// shift sets the offset of the client's clock. It keeps the file, because the process has it
// mapped.
func (p *process) shift(d time.Duration) error {
	f, err := os.OpenFile(p.clock, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(binary.Write(f, binary.NativeEndian, int64(d.Seconds())), f.Close())
}

// signal tolerates a client that has enough.
func (p *process) signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// await waits until the clients have enough, or makes them finish when ctx ends, and reads their
// records.
func (r *run) await(ctx context.Context) (all []record, err error) {
	finish := context.AfterFunc(ctx, func() {
		for _, p := range r.clients {
			_ = p.in.Close()
		}
	})
	defer finish()
	for _, p := range r.clients {
		if failed := p.cmd.Wait(); failed != nil {
			err = errors.Join(err, fmt.Errorf("a client: %w", failed))
			continue
		}
		some, failed := read(p.records)
		all, err = append(all, some...), errors.Join(err, failed)
	}
	slices.SortFunc(all, func(a, b record) int { return cmp.Compare(a.returned, b.returned) })
	return all, err
}
