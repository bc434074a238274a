package pool

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"unicode"

	"github.com/redis/go-redis/v9"
)

var (
	// ErrTooOld is the cause of a refusal by a server older than Redis 7.0 or Valkey 7.2.
	ErrTooOld = errors.New("the server is too old: Redis 7.0 or Valkey 7.2 is needed")

	errNoWord   = errors.New("the server refused without a word")
	errReplaced = errors.New("the address leads to another server than before")
)

// passing are the first words of errors that may pass: the node is unavailable for now.
var passing = map[string]bool{
	"LOADING": true, "READONLY": true, "MASTERDOWN": true, "CLUSTERDOWN": true, "TRYAGAIN": true, "MOVED": true, "ASK": true,
	"OOM": true, "BUSY": true, "MISCONF": true, "NOREPLICAS": true, "NOSCRIPT": true,
}

// failure is the Reply to a request that go-redis returned an error for.
func failure(r *Request, err error) Reply {
	var answer redis.Error
	var network *net.OpError
	var stranger *tls.CertificateVerificationError
	switch {
	case errors.Is(err, ErrTooOld):
		return Reply{Verdict: Refused, Unsent: true, Err: ErrTooOld}
	case errors.Is(err, ErrConnecting), errors.Is(err, errStale), errors.Is(err, errInUse):
		return Reply{Verdict: Unavailable, Unsent: true, Err: err}
	case errors.Is(err, redis.Nil):
		return nonsense(r.Verb)
	case errors.As(err, &answer):
		return refusal(r, answer)
	case errors.As(err, &stranger):
		return Reply{Verdict: Refused, Unsent: true, Err: stranger}
	case errors.As(err, &network):
		return Reply{Verdict: Unavailable, Unsent: network.Op == "dial", Err: err}
	case errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrPoolExhausted), errors.Is(err, redis.ErrClosed):
		return Reply{Verdict: Unavailable, Unsent: true, Err: err}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return Reply{Verdict: Unavailable, Err: err}
	case broken(err):
		return Reply{Verdict: Unavailable, Err: err}
	default: // what go-redis could not read may hold anything: it is not repeated
		return Reply{Verdict: Unavailable, Err: ErrBadReply}
	}
}

// broken reports whether err tells of the connection, not of what came over it. The errors of package net, of the operating
// system and of deadlines are of type net.Error, wrapped or bare; those of package crypto/tls that have no type begin with its name.
func broken(err error) bool {
	var network net.Error
	var header tls.RecordHeaderError
	var alert tls.AlertError
	return errors.As(err, &network) || errors.As(err, &header) || errors.As(err, &alert) ||
		errors.Is(err, io.ErrClosedPipe) || strings.HasPrefix(err.Error(), "tls: ")
}

// full is what a server answers that has no connection to spare. It is the only error to pass that has no word of its own.
const full = "ERR max number of clients reached"

// refusal is the Reply to a request that the server answered with an error.
func refusal(r *Request, answer error) Reply {
	text := harmless(answer.Error(), r.Owner, r.Inbox)
	if text == "" {
		return Reply{Verdict: Refused, Err: errNoWord}
	}
	word, _, _ := strings.Cut(text, " ")
	reply := Reply{Verdict: Refused, Err: serverError(text)}
	if passing[word] || text == full {
		reply.Verdict = Unavailable
	}
	return reply
}

// maxText is how much of what a server says is repeated, in bytes.
const maxText = 300

// harmless returns a server's words fit for logs. It may have repeated the command, with the owner id or a password in it.
func harmless(text string, secrets ...string) string {
	text, _, _ = strings.Cut(text, ", with args beginning with")
	for _, s := range secrets {
		random, _, _ := strings.Cut(s, ":") // of an owner id: the label behind it is no secret
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

// A serverError is what a server answered.
type serverError string

// Error implements error.
func (e serverError) Error() string { return string(e) }

// RedisError implements redis.Error.
func (e serverError) RedisError() {}

// unknownScript reports whether the server does not know the script, and so has not run it.
func unknownScript(err error) bool {
	return err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT")
}
