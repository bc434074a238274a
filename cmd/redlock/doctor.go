package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/pool"
)

// A doctorCmd is `redlock doctor`.
type doctorCmd struct {
	connection

	TTL   time.Duration `name:"ttl" help:"The longest TTL in use, by which restarts and round trips are judged (default ${default})." default:"${ttl}" placeholder:"TIME"`
	Guard bool          `name:"guard" help:"All users of the nodes have WithRestartGuard. If a node has its marker, the doctor knows that by itself."`
	JSON  bool          `name:"json" help:"Print JSON, one finding on each line."`
}

// Help implements kong.HelpProvider.
func (*doctorCmd) Help() string {
	return `Connects to each node and checks its version; the round-trip time; its clock, compared with the
others; what it does when its memory is full; whether it keeps locks across a restart; replicas and
cluster mode; restarts; the permissions that locks need under --key-prefix, and a lock that the
doctor takes and releases. For all nodes together it checks whether two addresses are one server,
whether the number is even, and whether there is a quorum.

Exit codes: 0 nothing found, or remarks only; 1 warnings; 2 errors: locks can be lost, or cannot be
taken.`
}

// A severity says how serious a finding is.
type severity int

const (
	remark severity = iota
	warning
	failure
)

func (s severity) String() string { return [...]string{"note", "warning", "error"}[s] }

// MarshalText implements encoding.TextMarshaler.
func (s severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil } //nolint:unparam // never fails

// A finding is a problem that the doctor reports.
type finding struct {
	Node     string   `json:"node,omitempty"` // empty: it is about all nodes
	Check    string   `json:"check"`
	Severity severity `json:"severity"`
	Problem  string   `json:"problem"`
	Mend     string   `json:"mend"`
}

// A patient is one node, and what the doctor has found out about it.
type patient struct {
	server
	node     pool.Node     // the same node, in lock verbs
	prefix   string        // of keys
	limit    time.Duration // the node timeout
	info     map[string]string
	runID    string
	rtt      time.Duration
	offset   time.Duration // of its clock from this machine's, known to half a round trip
	reached  bool
	guarded  bool // under the restart guard: --guard was given, or the node has its marker
	findings []finding
}

// find adds a finding.
func (p *patient) find(s severity, check, problem, mend string) {
	p.findings = append(p.findings, finding{p.addr, check, s, problem, mend})
}

// Run examines all nodes.
func (c *doctorCmd) Run(ctx context.Context, s streams) error {
	if c.TTL < redlock.MinTTL || c.TTL > redlock.MaxTTL {
		return usageError{fmt.Errorf("--ttl=%v: from %v to %v", c.TTL, redlock.MinTTL, redlock.MaxTTL)}
	}
	// the node timeout may rise that far with the round trips
	limit := max(min(max(c.TTL/20, 20*time.Millisecond), 250*time.Millisecond), c.TTL/4)
	if c.NodeTimeout != nil {
		limit = *c.NodeTimeout
	}
	servers, closeAll, err := c.servers()
	if err != nil {
		return err
	}
	defer closeAll()
	nodes, err := c.nodes()
	if err != nil {
		return err
	}
	patients := make([]*patient, len(servers))
	var all sync.WaitGroup
	for i, one := range servers {
		patients[i] = &patient{server: one, node: nodes[i], prefix: c.KeyPrefix, limit: limit, guarded: c.Guard}
		all.Go(func() { patients[i].examine(ctx, c.TTL) })
	}
	all.Wait()
	findings := together(patients)
	for _, p := range patients {
		findings = append(findings, p.findings...)
	}
	worst := remark
	for _, f := range findings {
		worst = max(worst, f.Severity)
	}
	if err := c.report(s, patients, findings); err != nil {
		return err
	}
	if worst == remark {
		return nil
	}
	return code(worst)
}

func (c *doctorCmd) report(s streams, patients []*patient, findings []finding) error {
	if c.JSON {
		for _, f := range findings {
			if err := writeJSON(s.out, f); err != nil {
				return err
			}
		}
		return nil
	}
	p := painter(s.out)
	table := tabwriter.NewWriter(s.out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "NODE\tVERSION\tROUND TRIP\tCLOCK\tUP FOR\tPERSISTENCE\tMEMORY FULL")
	for _, one := range patients {
		if !one.reached {
			fmt.Fprintf(table, "%s\tnot reached\t\t\t\t\t\n", one.addr)
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%v\t%+.3fs\t%v\t%s\t%s\n", one.addr, shown(one.version()), one.rtt.Round(10*time.Microsecond), one.offset.Seconds(),
			one.uptime(), shown(one.persistence()), shown(dash(one.info["maxmemory_policy"])))
	}
	if err := table.Flush(); err != nil {
		return err //nolint:wrapcheck // a write error needs no context
	}
	for _, f := range merge(findings) {
		colour := [...]string{blue, yellow, red}[f.Severity]
		fmt.Fprintf(s.out, "\n%s %s: %s\n  %s\n", p.in(colour, strings.ToUpper(f.Severity.String())), f.Node, shown(f.Problem), f.Mend)
	}
	if len(findings) == 0 {
		fmt.Fprintf(s.out, "\n%s\n", p.in(green, "nothing found"))
	}
	return nil
}

// merge joins findings that say the same about several nodes, and puts the worst first.
func merge(findings []finding) (merged []finding) {
	for _, f := range findings {
		if f.Node == "" {
			f.Node = "all nodes"
		}
		same := slices.IndexFunc(merged, func(m finding) bool { return m.Severity == f.Severity && m.Problem == f.Problem && m.Mend == f.Mend })
		if same >= 0 {
			merged[same].Node += ", " + f.Node
			continue
		}
		merged = append(merged, f)
	}
	slices.SortStableFunc(merged, func(a, b finding) int { return int(b.Severity - a.Severity) })
	return merged
}

// together finds problems that concern several nodes together.
func together(patients []*patient) (findings []finding) {
	find := func(s severity, check, problem, mend string) {
		findings = append(findings, finding{"", check, s, problem, mend})
	}
	n, reached := len(patients), 0
	var offsets []time.Duration
	run := map[string]string{}
	for _, p := range patients {
		if !p.reached {
			continue
		}
		reached++
		if p.rtt > 0 {
			offsets = append(offsets, p.offset)
		}
		if other, twice := run[p.runID]; twice && p.runID != "" {
			find(failure, "one-server", fmt.Sprintf("%s and %s are one server: it has one vote, not two", other, p.addr), "Name each server once.")
		}
		run[p.runID] = p.addr
	}
	switch quorum := n/2 + 1; {
	case reached < quorum:
		find(failure, "quorum", fmt.Sprintf("%d of %d nodes reached; %d are needed: no lock can be taken", reached, n, quorum), "Start the nodes, or mend the way to them.")
	case n == 1:
		find(remark, "number", "one node: locks can be taken only while it is up", "Use three or five independent masters to survive the loss of one or two.")
	case n%2 == 0:
		find(warning, "number", fmt.Sprintf("an even number of nodes: %d survive the loss of no more than %d do", n, n-1), "Use an odd number of nodes.")
	}
	if len(offsets) < 2 {
		return findings
	}
	slices.Sort(offsets)
	median := offsets[len(offsets)/2]
	for _, p := range patients {
		if off := p.offset - median; p.rtt > 0 && off.Abs() > maxOffset {
			findings = append(findings, finding{
				p.addr, "clock", warning,
				fmt.Sprintf("its clock is %+.1fs off the other nodes'", off.Seconds()),
				"Keep the clocks in step with NTP, slewed and not stepped: a forward step makes locks expire early.",
			})
		}
	}
	if median.Abs() > maxOffset {
		find(warning, "clock", fmt.Sprintf("the nodes' clocks are %+.1fs off this machine's", median.Seconds()), "Keep the clocks in step with NTP; tokens grow from them.")
	}
	return findings
}
