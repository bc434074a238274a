package pool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"unicode"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/internal/wire"
)

var (
	// ErrTooOld is the cause of a refusal by a server older than Redis 7.0 or Valkey 7.2.
	ErrTooOld = errors.New("the server is too old: Redis 7.0 or Valkey 7.2 is needed")

	errNoWord   = errors.New("the server refused without a word")
	errReplaced = errors.New("the address leads to another server than before")
)

// An error of a server or a proxy may be temporary: masters fail over, fill up and restart, and so
// do the proxies in front of them, each with its own error texts. So only errors that are known to
// be permanent end a wait: somebody must change the server, the user's rights or the program.
//
// lastingWords are the first words of such errors. lastingTexts are parts of other such errors, in
// lower case: errors of Redis and Valkey, which report with ERR what a user lacks in a script; of
// Envoy; and of services that lack a command.
var (
	lastingWords = map[string]bool{
		"NOPERM": true, "NOAUTH": true, "WRONGPASS": true, "WRONGTYPE": true, "NOPROTO": true, "CROSSSLOT": true, "DENIED": true,
	}
	lastingTexts = []string{
		"acl failure in script", "user executing the script can't", // no permission
		// no such command
		"unknown command", "unknown redis command", "unknown subcommand", "unsupported command", "is not allowed",
		// a password too much, or a wrong one
		"invalid password", "without any password configured", "but no password is set",
		// another kind of server
		"db index", "cluster support disabled", "do not hash to the same slot", "error compiling script",
	}
	// tooOldTexts are parts of errors of servers that lack an option of a command in our scripts,
	// or do not know scripts with declared flags.
	tooOldTexts = []string{"syntax error", "wrong number of arg", "unexpected symbol near '#'"}
)

// failure is the Reply to a request for which go-redis returned an error.
func failure(r *wire.Request, err error) wire.Reply {
	var answer redis.Error
	var network *net.OpError
	switch {
	case errors.Is(err, ErrTooOld):
		return wire.Reply{Verdict: Refused, Unsent: true, Err: ErrTooOld}
	case errors.Is(err, ErrConnecting), errors.Is(err, errStale), errors.Is(err, errInUse), errors.Is(err, errUnconnected):
		return wire.Reply{Verdict: Unavailable, Unsent: true, Err: err}
	case errors.Is(err, redis.Nil):
		return nonsense(r.Verb)
	case errors.As(err, &answer):
		return refusal(r, answer)
	case distrusted(err):
		return wire.Reply{Verdict: Refused, Unsent: true, Err: err}
	case errors.As(err, &network):
		return wire.Reply{Verdict: Unavailable, Unsent: network.Op == "dial", Err: err}
	case errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrPoolExhausted), errors.Is(err, redis.ErrClosed):
		return wire.Reply{Verdict: Unavailable, Unsent: true, Err: err}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return wire.Reply{Verdict: Unavailable, Err: err}
	case errors.Is(err, errAhead), broken(err):
		return wire.Reply{Verdict: Unavailable, Err: err}
	default: // an answer that go-redis could not read may contain anything: it is not repeated
		return wire.Reply{Verdict: Unavailable, Err: ErrBadReply}
	}
}

// toldBy marks an error from code that takes part in connecting, such as a user's dialer or
// go-redis's dialer for sentinels, which may have any type. It is not an answer that could not be
// read, so its text may be repeated.
func toldBy(what string, err error) error {
	if err == nil || !errors.Is(failure(&wire.Request{}, err).Err, ErrBadReply) {
		return err
	}
	return &net.OpError{Op: what, Err: errors.New(harmless(err.Error()))}
}

// broken reports whether err is about the connection, not about what came over it. The errors of
// package net, of the operating system and of deadlines are of type net.Error, wrapped or bare;
// those of package crypto/tls that have no type begin with its name.
func broken(err error) bool {
	var network net.Error
	var header tls.RecordHeaderError
	var alert tls.AlertError
	return errors.As(err, &network) || errors.As(err, &header) || errors.As(err, &alert) ||
		errors.Is(err, io.ErrClosedPipe) || strings.HasPrefix(err.Error(), "tls: ")
}

// distrusted reports whether connecting fails for a permanent reason: one side does not accept the
// other's certificate or version of TLS, or the server does not use TLS. Nothing was sent.
func distrusted(err error) bool {
	var ours *tls.CertificateVerificationError
	var plain tls.RecordHeaderError
	var theirs *net.OpError
	switch {
	case errors.As(err, &ours):
		return true
	case errors.As(err, &plain):
		return plain.Conn != nil // the server's first answer was not TLS
	case errors.As(err, &theirs) && theirs.Op == "remote error":
		// a TLS alert has no exported type
		return containsAny(theirs.Err.Error(), "certificate", "access denied", "handshake failure", "protocol version")
	}
	return false
}

// refusal is the Reply to a request that the server answered with an error.
func refusal(r *wire.Request, answer error) wire.Reply {
	text := harmless(answer.Error(), r.Owner, r.Inbox)
	word, _, _ := strings.Cut(text, " ")
	lower := strings.ToLower(text)
	old := containsAny(lower, tooOldTexts...)
	switch {
	case text == "":
		return wire.Reply{Verdict: Unavailable, Err: errNoWord}
	case lastingWords[word], !old && containsAny(lower, lastingTexts...):
		return wire.Reply{Verdict: Refused, Err: serverError(text)}
	case old:
		return wire.Reply{Verdict: Refused, Err: fmt.Errorf("%w: %w", ErrTooOld, serverError(text))}
	default:
		return wire.Reply{Verdict: Unavailable, Err: serverError(text)}
	}
}

// turnedAway reports whether err is what a server sends to a new connection that it closes without
// reading anything.
func turnedAway(err error) bool {
	answer, told := errors.AsType[serverError](err)
	return told && (strings.HasPrefix(string(answer), "DENIED") || strings.Contains(string(answer), "max number of clients"))
}

// containsAny reports whether text contains one of the parts.
func containsAny(text string, parts ...string) bool {
	return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(text, part) })
}

// maxText is how many bytes of a server's error text are repeated.
const maxText = 300

// harmless makes a server's error text fit for logs. The server may have repeated the command, with
// the owner id or a password in it.
func harmless(text string, secrets ...string) string {
	text, _, _ = strings.Cut(text, ", with args beginning with")
	for _, s := range secrets {
		random, _, _ := strings.Cut(s, ":") // of an owner id; its label is not secret
		if random != "" {
			text = strings.ReplaceAll(text, random, "…")
		}
	}
	text = strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return ' '
	}, text)
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return strings.TrimSpace(text)
}

// A serverError is an error that a server answered.
type serverError string

// Error implements error.
func (e serverError) Error() string { return string(e) }

// RedisError implements redis.Error.
func (e serverError) RedisError() {}

// unknownScript reports whether the server does not know the script, and so has not run it.
func unknownScript(err error) bool {
	return err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT")
}
