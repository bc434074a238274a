package pool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// A target is a parsed address, with the Dialer's settings where the address has none.
type target struct {
	network, addr      string
	username, password string
	credentials        func(context.Context) (string, string, error)
	tls                *tls.Config
	db                 int
}

// target parses an address. Its errors never contain the password.
func (d Dialer) target(addr string) (*target, error) {
	t := &target{network: "tcp", username: d.Username, password: d.Password, credentials: d.Credentials, tls: d.TLS, db: d.DB}
	hostport := addr
	if strings.Contains(addr, "://") {
		u, err := url.Parse(addr)
		if err != nil {
			// the parser's own error repeats the address with its password
			return nil, errors.New("not a URL")
		}
		// else part of a password could be mistaken for the host
		if strings.Contains(u.Opaque+u.Path, "@") {
			return nil, errors.New("not a URL: the characters / ? # and @ of a password must be escaped")
		}
		if err := t.url(u); err != nil {
			// the rest may contain a password
			return nil, fmt.Errorf("%q: %w", u.Scheme+"://"+u.Host+u.Path, err)
		}
		if t.network == "unix" {
			return t, nil
		}
		hostport = u.Host
	} else if strings.Contains(addr, "@") {
		return nil, errors.New("credentials need a URL: redis://user:password@host:port")
	}
	host, port, err := splitHostPort(hostport)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", hostport, err)
	}
	t.addr = net.JoinHostPort(host, port)
	if t.tls != nil && t.tls.ServerName == "" {
		t.tls = t.tls.Clone()
		t.tls.ServerName, _, _ = strings.Cut(host, "%") // a zone is no part of a certificate
	}
	return t, nil
}

// url takes the settings in the URL.
func (t *target) url(u *url.URL) (err error) {
	t.login(u.User)
	switch u.Scheme {
	case "unix":
		return t.socket(u)
	case "rediss":
		if t.tls == nil {
			t.tls = &tls.Config{MinVersion: tls.VersionTLS12}
		}
	case "redis":
	default:
		return fmt.Errorf("the scheme is redis, rediss or unix, not %q", u.Scheme)
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return errors.New("parameters are not known: use a Dialer")
	}
	if path := strings.Trim(u.Path, "/"); path != "" {
		if t.db, err = strconv.Atoi(path); err != nil || t.db < 0 {
			return errors.New("the path is the number of a database")
		}
	}
	return nil
}

// login takes the user and the password from the URL, each if there is one. If the URL has a
// password, the Dialer's Credentials are not asked; if it has a user only, they give the password
// and the user is the URL's.
func (t *target) login(u *url.Userinfo) {
	if name := u.Username(); name != "" {
		t.username = name
		if ask := t.credentials; ask != nil {
			t.credentials = func(ctx context.Context) (string, string, error) {
				_, password, err := ask(ctx)
				return name, password, err
			}
		}
	}
	if password, given := u.Password(); given {
		t.password, t.credentials = password, nil
	}
}

// socket takes the settings in the URL of a socket on this machine.
func (t *target) socket(u *url.URL) error {
	if u.Host != "" || !strings.HasPrefix(u.Path, "/") || strings.HasSuffix(u.Path, "/") || strings.ContainsFunc(u.Path, hidden) {
		return errors.New("a socket is unix:///path, from the root on")
	}
	t.network, t.addr, t.tls = "unix", u.Path, nil
	query, err := url.ParseQuery(u.RawQuery)
	db := query.Get("db")
	query.Del("db")
	if err != nil || len(query) > 0 || u.Fragment != "" {
		return errors.New("parameters but db are not known: use a Dialer")
	}
	if db != "" {
		if t.db, err = strconv.Atoi(db); err != nil || t.db < 0 {
			return errors.New("db is the number of a database")
		}
	}
	return nil
}

const defaultPort = "6379"

// splitHostPort splits host:port, [v6]:port, or a host alone.
func splitHostPort(s string) (host, port string, err error) {
	host, port = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"), defaultPort
	_, notIP := netip.ParseAddr(host) // an address with a zone is one too
	if alone := !strings.Contains(host, ":") || notIP == nil && !strings.Contains(host, "]"); !alone {
		if host, port, err = net.SplitHostPort(s); err != nil {
			return "", "", errors.New("not host:port")
		}
	}
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case host == "" || strings.ContainsAny(host, "/\\\"'<>") || strings.ContainsFunc(host, hidden):
		return "", "", errors.New("the host is missing or not one")
	case err != nil || n == 0:
		return "", "", errors.New("the port is not a number from 1 to 65535")
	}
	return host, port, nil
}

// hidden reports whether a character cannot be seen: a blank, a control character, a byte order
// mark.
func hidden(r rune) bool { return r == ' ' || r == unicode.ReplacementChar || !unicode.IsPrint(r) }

// byteOrderMark is what some editors put before the first line of a file.
const byteOrderMark = "\ufeff"

// DialList makes a node from each address in a list, with the zero [Dialer]. See [Dialer.DialList].
func DialList(list string) ([]Node, error) { return Dialer{}.DialList(list) }

// DialList makes a node from each address in a list, as written in a flag, a file or an environment
// variable; see [ParseList]. Like Dial it does not connect. It fails if the list is empty or
// [Dialer.Dial] does not accept an address.
func (d Dialer) DialList(list string) ([]Node, error) {
	addrs, err := ParseList(list)
	if err != nil {
		return nil, err
	}
	return d.Dial(addrs...)
}

// ParseList splits a list of addresses, as written in flags, files and environment variables:
// separated by commas, blanks or newlines, with or without a byte order mark in front. It fails if
// the list is empty or [Dial] does not accept an address.
func ParseList(list string) ([]string, error) {
	addrs := strings.FieldsFunc(strings.TrimPrefix(list, byteOrderMark), func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })
	if len(addrs) == 0 {
		return nil, errors.New("pool: the list of addresses is empty: host:port, separated by commas, is needed")
	}
	for i, a := range addrs {
		if _, err := (Dialer{}).target(a); err != nil {
			return nil, fmt.Errorf("pool: address %d: %w", i+1, err)
		}
	}
	return addrs, nil
}
