// Bench measures this library beside other lock libraries, on Redis masters that it starts itself,
// and writes docs/benchmarks.md.
//
//	go -C bench run .                       # everything, about twenty minutes; writes the page, its plots and the raw figures
//	go -C bench run . -short                # a quick look, which writes nothing
//	go -C bench run . -workloads one,64     # these again; the rest of the page stays as it is
//	go -C bench run . -render               # only the page, from the raw figures
//	go -C bench run . -distance             # masters some way off, as root; writes docs/benchmarks-distance.md
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	distanceChild()
	var err error
	switch part := os.Getenv(childVar); part {
	case "":
		err = benchMain()
	case "etcd":
		err = etcdMain(os.Args[1])
	case "waiter":
		err = waiterMain(os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// settings are the flags.
type settings struct {
	workloads string
	only      string
	rounds    int
	short     bool
	render    bool
	distance  bool
	strict    bool
	profile   string
	docs      string
	raw       string
}

func benchMain() error {
	var s settings
	flag.StringVar(&s.workloads, "workloads", "", "comma-separated `names` of the workloads to run (default: all)")
	flag.StringVar(&s.only, "only", "", "semicolon-separated `names` of the contestants to run; writes nothing")
	flag.IntVar(&s.rounds, "rounds", 5, "how often each workload puts all its contestants to it, in turn")
	flag.BoolVar(&s.short, "short", false, "one short round of each; writes nothing")
	flag.BoolVar(&s.render, "render", false, "write the page from the raw figures, measure nothing")
	flag.BoolVar(&s.distance, "distance", false, "measure over masters that are some way off, as root, and write that page (-workloads: its scenarios, by semicolons)")
	flag.BoolVar(&s.strict, "strict", false, "exit with 1 if a mark is missed")
	flag.StringVar(&s.profile, "profile", "", "write a CPU and an allocation profile of all that runs to this `directory`; writes nothing else")
	flag.StringVar(&s.docs, "docs", "../docs", "`directory` of the page")
	flag.StringVar(&s.raw, "results", "results", "`directory` of the raw figures")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if s.distance {
		return benchDistance(ctx, s)
	}
	all, err := readResults(filepath.Join(s.raw, "results.json"))
	if err != nil {
		return err
	}
	if s.render {
		return writePage(s.docs, all)
	}
	fresh, err := measure(ctx, s)
	if err != nil {
		return err
	}
	missed := printReport(os.Stdout, fresh)
	if !s.short && s.only == "" && s.profile == "" {
		maps.Copy(all, fresh)
		if err := errors.Join(os.MkdirAll(s.raw, 0o755), all.write(filepath.Join(s.raw, "results.json")), writePage(s.docs, all)); err != nil { //nolint:gosec // for all to read
			return err
		}
	}
	if s.strict && missed > 0 {
		return fmt.Errorf("%d marks were missed", missed)
	}
	return nil
}

// measure runs the workloads that the settings name.
func measure(ctx context.Context, s settings) (results, error) {
	todo := workloads
	if s.workloads != "" {
		todo = nil
		for name := range strings.SplitSeq(s.workloads, ",") {
			w := find(name)
			if w == nil {
				return nil, fmt.Errorf("no workload %q", name)
			}
			todo = append(todo, *w)
		}
	}
	srv, err := startServers()
	if err != nil {
		return nil, err
	}
	defer srv.stop()
	b := &bench{servers: srv, scale: 1}
	if s.short {
		b.scale, s.rounds = 0.2, 1
	}
	stop, err := startProfile(s.profile)
	if err != nil {
		return nil, err
	}
	r := results{}
	for _, w := range todo {
		if r[w.name], err = b.rounds(ctx, w, s); err != nil {
			return nil, errors.Join(err, stop())
		}
	}
	return r, stop()
}

// rounds measures the workload with all contestants, one after the other, in each round.
func (b *bench) rounds(ctx context.Context, w workload, s settings) (*run, error) {
	r := &run{When: time.Now().UTC().Truncate(time.Second), Machine: machine()}
	var only []string
	if s.only != "" {
		only = strings.Split(s.only, ";")
	}
	for round := range max(1, int(w.rounds*float64(s.rounds))) {
		for i := range w.contestants {
			c := w.contestants[(i+round)%len(w.contestants)] // so none always follows the same one
			if only != nil && !slices.Contains(only, c.name) {
				continue
			}
			fmt.Fprintf(os.Stderr, "%s  %s, round %d: %s\n", time.Now().Format(time.TimeOnly), w.name, round+1, c.name)
			v, waits, err := w.run(ctx, b, c)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", w.name, c.name, err)
			}
			r.Samples = append(r.Samples, sample{round, c.name, v, waits})
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
	}
	return r, nil
}
