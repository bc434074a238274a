package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// maxOffset is how far apart clocks may be. A node that has lost its fencing registers trusts a
	// client's clock within a second.
	maxOffset = time.Second
	// samples is how many round trips are measured.
	samples = 5
)

// examine makes the checks of one node.
func (p *patient) examine(ctx context.Context, ttl time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, 5*serverTimeout)
	defer cancel()
	if err := p.Ping(ctx).Err(); err != nil && !denied(err) {
		p.unreachable(err)
		return
	}
	p.reached = true
	p.clocks(ctx)
	p.readInfo(ctx)
	p.readMarker(ctx)
	if p.info != nil {
		p.judgeVersion()
		p.judgeMemory()
		p.judgePersistence(ctx)
		p.judgeRole()
		p.judgeUptime(ttl)
	}
	p.permissions(ctx)
}

// unreachable says why a node cannot be used.
func (p *patient) unreachable(err error) {
	text := err.Error()
	mend := "Start it, or mend the way to it; check the address, and --tls."
	switch netErr := net.Error(nil); {
	case strings.HasPrefix(text, "NOAUTH"), strings.HasPrefix(text, "WRONGPASS"), strings.Contains(text, "AUTH"):
		mend = "Check --username and the password (--password-file, REDLOCK_PASSWORD)."
	case strings.HasPrefix(text, "LOADING"):
		mend = "Wait until it has loaded its data."
	case errors.As(err, &netErr) && netErr.Timeout() && p.Options().TLSConfig != nil:
		mend = "If it speaks no TLS on this port, leave out --tls and rediss://. Else it is frozen, overloaded or cut off: look at the machine and the network."
	case errors.As(err, &netErr) && netErr.Timeout():
		mend = "It is frozen, overloaded or cut off: look at the machine and the network."
	}
	p.find(failure, "reach", "not reached: "+text, mend)
}

// clocks measures the round trip and the offset of the clock.
func (p *patient) clocks(ctx context.Context) {
	var trips []time.Duration
	for range samples {
		began := time.Now()
		now, err := p.Time(ctx).Result()
		took := time.Since(began)
		if err != nil {
			break
		}
		if len(trips) == 0 || took < slices.Min(trips) {
			p.offset = now.Sub(began.Add(took / 2))
		}
		trips = append(trips, took)
	}
	if len(trips) == 0 {
		p.find(warning, "permission", "its clock cannot be read", "Let the user call TIME, if it may not.")
		return
	}
	slices.Sort(trips)
	p.rtt = trips[len(trips)/2]
	if p.rtt > p.limit/2 {
		p.find(warning, "round-trip", fmt.Sprintf("a round trip takes %v; a node that takes longer than %v counts as unavailable", p.rtt.Round(time.Millisecond), p.limit),
			"Move the nodes nearer, relieve them, or raise the TTL or WithNodeTimeout.")
	}
}

// readInfo reads the node's INFO.
func (p *patient) readInfo(ctx context.Context) {
	text, err := p.Info(ctx).Result()
	if err != nil {
		p.find(warning, "permission", "INFO is not allowed: "+reason(err),
			"Let the user call it: ACL SETUSER … +info. The restart guard needs it, and much that is looked at here cannot be seen without.")
		return
	}
	p.info = map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			p.info[key] = value
		}
	}
	p.runID = p.info["run_id"]
}

// readMarker looks for the marker that the restart guard leaves on a node.
func (p *patient) readMarker(ctx context.Context) {
	marker, err := p.HMGet(ctx, markerKey, "run").Result()
	p.guarded = p.guarded || err == nil && len(marker) == 1 && marker[0] != nil
}

// version returns the server's name and version.
func (p *patient) version() string {
	if v := p.info["valkey_version"]; v != "" {
		return "Valkey " + v
	}
	return "Redis " + dash(p.info["redis_version"])
}

func (p *patient) judgeVersion() {
	name, text, _ := strings.Cut(p.version(), " ")
	least := map[string][2]int{"Redis": {7, 0}, "Valkey": {7, 2}}[name]
	major, rest, _ := strings.Cut(text, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, errA := strconv.Atoi(major)
	b, errB := strconv.Atoi(minor)
	if errA == nil && errB == nil && (a < least[0] || a == least[0] && b < least[1]) {
		p.find(failure, "version", p.version()+" is too old", fmt.Sprintf("Upgrade to %s %d.%d or later: every request is refused now.", name, least[0], least[1]))
	}
}

func (p *patient) judgeMemory() {
	limit, policy := p.number("maxmemory"), p.info["maxmemory_policy"]
	switch {
	case limit > 0 && policy != "noeviction":
		p.find(failure, "eviction", fmt.Sprintf("with memory full it evicts keys (maxmemory-policy %s): locks too", policy), "CONFIG SET maxmemory-policy noeviction, and in its configuration.")
	case policy != "" && policy != "noeviction":
		p.find(remark, "eviction", fmt.Sprintf("maxmemory-policy is %s; it has no effect while maxmemory is 0", policy), "Set it to noeviction, before somebody sets maxmemory.")
	}
	if used := p.number("used_memory"); limit > 0 && used > limit/10*9 {
		p.find(warning, "memory", fmt.Sprintf("%d%% of maxmemory are used; at the end it refuses locks", used*100/limit), "Raise maxmemory, or move other data elsewhere.")
	}
}

// persistence reads what the node keeps across a restart.
func (p *patient) persistence() string {
	switch {
	case p.info == nil:
		return "-"
	case p.info["aof_enabled"] == "1":
		return "AOF " + dash(p.info["appendfsync"])
	}
	return "no AOF"
}

// judgePersistence reports what a restart may lose. With the guard that harms no lock.
func (p *patient) judgePersistence(ctx context.Context) {
	s, guard := warning, "Or use WithRestartGuard: it keeps a restarted node out for the longest TTL."
	if p.guarded {
		s, guard = remark, "The restart guard is in use: see that all users have it."
	}
	if p.info["aof_enabled"] != "1" {
		p.find(s, "persistence", "it does not write down locks (no AOF): after a restart it may grant one that is held", "CONFIG SET appendonly yes, appendfsync always. "+guard)
		return
	}
	conf, err := p.ConfigGet(ctx, "appendfsync").Result()
	if err != nil {
		p.find(remark, "fsync", "appendfsync cannot be read: "+reason(err), "See that it is always. "+guard)
		return
	}
	p.info["appendfsync"] = conf["appendfsync"]
	if conf["appendfsync"] != "always" {
		p.find(s, "fsync", fmt.Sprintf("appendfsync is %s: a crash of its machine forgets the latest locks", conf["appendfsync"]), "CONFIG SET appendfsync always. "+guard)
	}
}

func (p *patient) judgeRole() {
	if p.info["role"] == "slave" {
		p.find(failure, "role", "it is a replica: it grants nothing", "Name masters, each independent of the others.")
	}
	if n := p.number("connected_slaves"); n > 0 {
		p.find(warning, "replicas", fmt.Sprintf("it has %d replicas: replication is asynchronous, so a failover to one forgets locks", n), "Use independent masters without failover; the quorum takes the place of replicas.")
	}
	if p.info["cluster_enabled"] == "1" {
		p.find(remark, "cluster", "it is part of a cluster: it serves only its own slots", "Use a whole cluster as one node (pool.New with a ClusterClient), or servers that are in none.")
	}
}

func (p *patient) uptime() time.Duration {
	return time.Duration(p.number("uptime_in_seconds")) * time.Second
}

func (p *patient) judgeUptime(ttl time.Duration) {
	switch up := p.uptime(); {
	case p.info["loading"] == "1":
		p.find(failure, "loading", "it is loading its data", "Wait until it is done.")
	case up > 10*time.Minute && up > 2*ttl:
	case up <= ttl && !p.guarded:
		p.find(warning, "restart", fmt.Sprintf("it was started %v ago: a lock of before that may still be held, and it may have forgotten it", up), "Wait for the longest TTL before you rely on it; WithRestartGuard does so by itself.")
	default:
		p.find(remark, "restart", fmt.Sprintf("it was started %v ago", up), "Was it meant to? If not, look at its log.")
	}
}

// number returns a number of INFO, 0 if that is missing.
func (p *patient) number(key string) int64 {
	n, _ := strconv.ParseInt(p.info[key], 10, 64)
	return n
}

// denied reports whether the node answered that it refuses the command.
func denied(err error) bool { return strings.HasPrefix(err.Error(), "NOPERM") }

// reason returns the error's text without repetitions.
func reason(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}
