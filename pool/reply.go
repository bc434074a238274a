package pool

import (
	"crypto/sha1" //nolint:gosec // Redis's own fingerprint, as the scripts take it
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-redlock/redlock/internal/wire"
)

var (
	// ErrBadFence is the cause of a refusal if the key of the fencing register holds something
	// else. The node has left the value unchanged; somebody must find out who wrote it.
	ErrBadFence = wire.ErrBadFence
	// ErrBadReply is the cause of a refusal if the node's answer is not one that our scripts can
	// give.
	ErrBadReply = errors.New("the node's answer makes no sense")
)

// maxToken is above every fencing token: numbers in Lua are exact up to 2^53.
const maxToken = 1<<53 - 1<<32

// parse parses a script's reply to a request with that verb. If a broken or hostile server sends
// something else, that is an answer that makes no sense, never a grant.
func parse(v Verb, text string) wire.Reply {
	word, rest, _ := strings.Cut(text, " ")
	switch {
	case (word == "OK" || word == "AGAIN") && v == Acquire:
		token, err := strconv.ParseUint(rest, 10, 64)
		if err != nil || token > maxToken {
			return nonsense(v)
		}
		return wire.Reply{Verdict: OK, Token: token, Again: word == "AGAIN"}
	case text == "OK" && v != Inspect:
		return wire.Reply{Verdict: OK}
	case word == "HELD" && takes(v):
		return owned(v, Held, 0, rest)
	case word == "FOREIGN" && v == Acquire:
		reply := owned(v, Held, 0, rest+" ")
		if reply.Holder != "" || reply.TTL == 0 {
			return nonsense(v)
		}
		reply.Foreign = true
		return reply
	case text == "GONE" && (v == Repair || v == Extend || v == Release):
		return wire.Reply{Verdict: Gone}
	case text == "RAISED" && v == Repair:
		return wire.Reply{Verdict: Raised}
	case word == "WAIT" && (takes(v) || v == Repair || v == Check):
		wait, ok := millis(rest)
		if !ok || wait < 0 {
			return nonsense(v)
		}
		return wire.Reply{Verdict: Quarantined, TTL: wait}
	case text == "BADFENCE" && (v == Acquire || v == Repair):
		return wire.Reply{Verdict: Refused, Err: ErrBadFence}
	case v == Inspect && (word == "FREE" || word == "OWNED"):
		f, rest, _ := strings.Cut(rest, " ")
		token, err := strconv.ParseUint(f, 10, 64)
		switch {
		case err != nil:
			return nonsense(v)
		case word == "FREE":
			return wire.Reply{Verdict: OK, Token: token}
		}
		return owned(v, OK, token, rest)
	case v == Inspect && word == "SHARED":
		return parseReaders(rest)
	}
	return nonsense(v)
}

// allReaders is the fingerprint of a lock that is shared.
var allReaders = func() string {
	sum := sha1.Sum([]byte(wire.SharedValue)) //nolint:gosec // the name that Redis gives a script
	return hex.EncodeToString(sum[:])[:16]
}()

// parseReaders parses what a script tells of a shared lock: the token, the remaining life, and a
// line for each reader.
func parseReaders(text string) wire.Reply {
	head, lines, _ := strings.Cut(text, "\n")
	f, life, _ := strings.Cut(head, " ")
	token, err := strconv.ParseUint(f, 10, 64)
	ttl, ok := millis(life)
	if err != nil || !ok {
		return nonsense(Inspect)
	}
	reply := wire.Reply{Verdict: OK, Token: token, TTL: ttl, Fingerprint: allReaders}
	for lines != "" {
		var line string
		line, lines, _ = strings.Cut(lines, "\n")
		one := owned(Inspect, OK, 0, line)
		if one.Err != nil || one.TTL < 0 {
			return nonsense(Inspect)
		}
		reply.Readers = append(reply.Readers, wire.Reader{Fingerprint: one.Fingerprint, Holder: one.Holder, TTL: one.TTL})
		reply.Holder = one.Holder
	}
	return reply
}

// parsePermit parses a script's reply to an Acquire of any of that many slots.
func parsePermit(slots int, text string) wire.Reply {
	word, rest, _ := strings.Cut(text, " ")
	if word != "OK" && word != "AGAIN" {
		return parse(Acquire, text)
	}
	token, rest, _ := strings.Cut(rest, " ")
	number, free, _ := strings.Cut(rest, " ")
	slot, err := strconv.ParseUint(number, 10, 7)
	reply := parse(Acquire, word+" "+token)
	if err != nil || len(free) != slots || slot >= uint64(slots) || strings.Trim(free, "01") != "" || free[slot] != '1' {
		return nonsense(Acquire)
	}
	if reply.Verdict == OK {
		reply.Slot, reply.Free = uint8(slot), strings.Clone(free)
	}
	return reply
}

// owned parses the remaining life, the fingerprint and the label of another owner's lock.
func owned(v Verb, verdict Verdict, token uint64, text string) wire.Reply {
	life, text, _ := strings.Cut(text, " ")
	fingerprint, label, found := strings.Cut(text, " ")
	ttl, ok := millis(life)
	if !ok || !found || len(fingerprint) != 16 || len(label) > 1024 {
		return nonsense(v)
	}
	return wire.Reply{Verdict: verdict, Token: token, TTL: ttl, Fingerprint: strings.Clone(fingerprint), Holder: strings.ReplaceAll(strings.Clone(label), "\n", " ")}
}

// millis parses a number of milliseconds. For a negative number it returns -1: the key never
// expires.
func millis(text string) (time.Duration, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n > int64(1<<62/time.Millisecond) {
		return 0, false
	}
	if n < 0 {
		return -1, true
	}
	return time.Duration(n) * time.Millisecond, true
}

// nonsense does not repeat the answer: it may contain anything, also an owner id.
func nonsense(v Verb) wire.Reply {
	return wire.Reply{Verdict: Refused, Err: fmt.Errorf("%w: to %v", ErrBadReply, v)}
}

// parseNotice parses a message to an inbox: "go <lock>" or "next <ms> <lock>". The time is 0 if
// readers have the lock.
func parseNotice(text string) (wire.Notice, bool) {
	word, rest, _ := strings.Cut(text, " ")
	switch word {
	case "go":
		return wire.Notice{Lock: rest}, rest != ""
	case "next":
		life, lock, _ := strings.Cut(rest, " ")
		d, ok := millis(life)
		return wire.Notice{Lock: lock, Next: d, Shared: d == 0}, ok && d >= 0 && lock != ""
	}
	return wire.Notice{}, false
}
