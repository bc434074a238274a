package pool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/auth"
)

// A connector makes connections to one server.
type connector struct {
	options redis.Options // of the go-redis client that each connection has
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	name    string         // shown by CLIENT LIST
	maxIdle *time.Duration // how long a connection may rest
	made    func(net.Conn)
	trip    *atomic.Int64 // the latest measured round trip
	shown   *atomic.Pointer[shown]

	streaming auth.StreamingCredentialsProvider // nil: the options have the credentials

	ahead      []byte      // sent with the first command, see conn
	plain      atomic.Bool // nothing is sent ahead: the server does not answer as expected
	mayBeEarly atomic.Bool // a request may be sent with it: no refusal is known
}

// newConnector makes a connector from the options for a server.
func newConnector(o redis.Options) *connector {
	k := &connector{name: o.ClientName, dial: dialer(&o)}
	o.ClientName = "" // see who
	if o.Network == "" {
		o.Network = "tcp"
		if strings.HasPrefix(o.Addr, "/") {
			o.Network = "unix"
		}
	}
	o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns = 0, 0, 0
	// a go-redis connection panics with it
	k.streaming, o.StreamingCredentialsProvider = o.StreamingCredentialsProvider, nil
	o.CredentialsProviderContext = punctualCredentials(o.CredentialsProviderContext)
	k.options = o
	if static := o.OnConnect == nil && o.CredentialsProvider == nil && o.CredentialsProviderContext == nil &&
		k.streaming == nil && len(o.Username)+len(o.Password) < bufferSize/2; static {
		k.ahead = k.greeting()
	}
	k.mayBeEarly.Store(o.Password == "" && o.DB == 0)
	return k
}

// greeting is what a new connection sends after HELLO.
func (k *connector) greeting() (b []byte) {
	if k.options.DB > 0 {
		b = appendCommand(b, "select", strconv.Itoa(k.options.DB))
	}
	if k.name != "" {
		b = appendCommand(b, "client", "setname", k.name)
	}
	return appendCommand(b, "info", "server")
}

// appendCommand appends a command as go-redis writes it.
func appendCommand(b []byte, words ...string) []byte {
	b = fmt.Appendf(b, "*%d\r\n", len(words))
	for _, w := range words {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(w), w)
	}
	return b
}

// open dials. The client that it returns uses that connection alone. If ctx ends before stop is
// called, the connection is closed.
func (k *connector) open(ctx context.Context, ahead []byte) (raw *conn, client *redis.Client, stop func() bool, err error) {
	began := now()
	under, err := k.dial(ctx, k.options.Network, k.options.Addr)
	if err != nil {
		return nil, nil, nil, toldBy("dial", err)
	}
	k.made(under)
	raw = &conn{Conn: under, maxIdle: *k.maxIdle, ahead: ahead, dialled: now().Sub(began)}
	o := k.options
	if k.streaming != nil {
		credentials, unsubscribe, err := k.streaming.Subscribe(raw)
		if err != nil {
			_ = raw.Close()
			return nil, nil, nil, toldBy("credentials", err)
		}
		raw.unsubscribe = unsubscribe
		o.Username, o.Password = credentials.BasicAuth()
	}
	o.Dialer = func(context.Context, string, string) (net.Conn, error) { return raw, nil }
	return raw, redis.NewClient(&o), context.AfterFunc(ctx, func() { _ = raw.Close() }), nil
}

// connect makes a connection, and finds out which server is at the other end. A request is sent
// with the greeting if no password or database must be accepted first. Otherwise it might be
// carried out for the wrong user or in the wrong database: so requests are sent with a greeting
// only after an earlier greeting succeeded, and not after one that failed.
func (k *connector) connect(ctx context.Context, early earlyData) (*connection, error) {
	ahead := k.ahead
	if k.plain.Load() {
		ahead = nil
	}
	if ahead == nil || k.options.Limiter != nil || !k.mayBeEarly.Load() {
		early = nil
	}
	cn, err := k.greet(ctx, ahead, early)
	if errors.Is(err, errAhead) {
		k.plain.Store(true)
		cn, err = k.greet(ctx, nil, nil)
	}
	if err == nil && !cn.raw.odd { // else the password was wrong, or the server full
		k.plain.Store(false)
	}
	return cn, err
}

func (k *connector) greet(ctx context.Context, ahead []byte, early earlyData) (*connection, error) {
	raw, client, stop, err := k.open(ctx, ahead)
	if err != nil {
		return nil, err
	}
	if early != nil {
		raw.early = func(dialled time.Duration) []byte { return early(k.roundTrip(dialled)) }
	}
	cn := &connection{carrier: client.Conn(), raw: raw, end: func() { _ = raw.Close(); _ = client.Close() }}
	if err = k.meet(ctx, cn); err == nil && !stop() {
		err = context.Cause(ctx)
	}
	k.mayBeEarly.Store(err == nil)
	if err != nil {
		cn.end()
		return nil, raw.refused(err)
	}
	k.trip.Store(int64(raw.trip))
	return cn, nil
}

// roundTrip estimates a round trip before the first one, on a connection that took so long to dial.
// Dialling takes one round trip, over TLS two or three. But it may reach something that is nearer
// than the server.
func (k *connector) roundTrip(dialled time.Duration) time.Duration {
	if k.options.TLSConfig != nil {
		dialled /= 2
	}
	return max(dialled, time.Duration(k.trip.Load()))
}

// meet asks which server is at the other end, and its version, and tells it the connection's name,
// if there is one.
func (k *connector) meet(ctx context.Context, cn *connection) error {
	pipe := cn.Pipeline()
	if k.name != "" {
		pipe.ClientSetName(ctx, k.name)
	}
	answer := pipe.Info(ctx, "server")
	_, failed := pipe.Exec(ctx)
	info, err := answer.Result()
	switch _, answered := errors.AsType[redis.Error](err); {
	case answered: // INFO is not allowed, or not now: the server stays unknown
		return nil
	case err != nil:
		return err //nolint:wrapcheck // failure looks at it
	case failed != nil && info == "":
		return failed //nolint:wrapcheck // failure looks at it
	}
	told, old := age(info)
	if old {
		return ErrTooOld
	}
	cn.server, cn.recent = infoField(info, "run_id"), told
	if usec, err := strconv.ParseInt(infoField(info, "server_time_usec"), 10, 64); err == nil {
		k.shown.Store(&shown{time.UnixMicro(usec), cn.raw.used.Add(-cn.raw.trip / 2)})
	}
	return nil
}

// dialer returns the dialer of the options. It replaces go-redis's own dialer, which over TLS obeys
// only its timeout, by one that ends with its context.
func dialer(o *redis.Options) func(ctx context.Context, network, addr string) (net.Conn, error) {
	if o.Dialer != nil && !isDefault(o.Dialer) {
		return o.Dialer
	}
	// as in go-redis
	plain := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 5 * time.Second, Count: 3}}
	if o.TLSConfig == nil {
		return plain.DialContext
	}
	return (&tls.Dialer{NetDialer: plain, Config: o.TLSConfig}).DialContext
}

// isDefault reports whether the function is one that redis.NewDialer returns.
func isDefault(dial func(context.Context, string, string) (net.Conn, error)) bool {
	f := runtime.FuncForPC(reflect.ValueOf(dial).Pointer())
	return f != nil && strings.HasPrefix(f.Name(), "github.com/redis/go-redis/v9.") && strings.Contains(f.Name(), ".NewDialer.")
}

// age reports whether the server tells its version, and whether that is too old for the scripts.
func age(info string) (told, old bool) {
	version, least := infoField(info, "valkey_version"), [2]int{7, 2}
	if version == "" {
		version, least = infoField(info, "redis_version"), [2]int{7, 0}
	}
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, errA := strconv.Atoi(major)
	b, errB := strconv.Atoi(minor)
	told = errA == nil && errB == nil
	return told, told && (a < least[0] || a == least[0] && b < least[1])
}

// infoField returns a field of an answer to INFO, or "".
func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
