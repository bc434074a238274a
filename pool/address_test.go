package pool_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

func TestAddressesLeadWhereTheySay(t *testing.T) {
	t.Parallel()
	d := pool.Dialer{Username: "u", Password: "p", TLS: &tls.Config{MinVersion: tls.VersionTLS12}}
	for addr, want := range map[string]string{
		"h":                          "tcp h:6379 u p 0 h",
		"h:1":                        "tcp h:1 u p 0 h",
		"::1":                        "tcp [::1]:6379 u p 0 ::1",
		"[::1]":                      "tcp [::1]:6379 u p 0 ::1",
		"[::1]:1":                    "tcp [::1]:1 u p 0 ::1",
		"::1%lo":                     "tcp [::1%lo]:6379 u p 0 ::1",
		"[fe80::1%eth0]":             "tcp [fe80::1%eth0]:6379 u p 0 fe80::1",
		"[::1%lo]:1":                 "tcp [::1%lo]:1 u p 0 ::1",
		"redis://[::1%25lo]:1/2":     "tcp [::1%lo]:1 u p 2 ::1",
		"rediss://h":                 "tcp h:6379 u p 0 h",
		"redis://a@h":                "tcp h:6379 a p 0 h", // the name alone
		"redis://a:b@h":              "tcp h:6379 a b 0 h",
		"redis://:b@h":               "tcp h:6379 u b 0 h", // the password alone
		"redis://a:@h":               "tcp h:6379 a  0 h",  // it has no password
		"redis://@h":                 "tcp h:6379 u p 0 h",
		"redis://a:%40%2F@h":         "tcp h:6379 a @/ 0 h",
		"unix:///run/redis.sock":     "unix /run/redis.sock u p 0 ",
		"unix:///run/r.sock?db=3":    "unix /run/r.sock u p 3 ",
		"unix://a:b@/run/redis.sock": "unix /run/redis.sock a b 0 ",
		"unix://a@/run/redis.sock":   "unix /run/redis.sock a p 0 ",
	} {
		o, err := d.Options(addr)
		if err != nil {
			t.Errorf("%s: %v", addr, err)
			continue
		}
		server := ""
		if o.TLSConfig != nil {
			server = o.TLSConfig.ServerName
		}
		if got := fmt.Sprintf("%s %s %s %s %d %s", o.Network, o.Addr, o.Username, o.Password, o.DB, server); got != want {
			t.Errorf("%s: %q, not %q", addr, got, want)
		}
	}
}

func TestAUsersNameInAnAddressKeepsTheCredentialsPassword(t *testing.T) {
	t.Parallel()
	d := pool.Dialer{Credentials: func(context.Context) (username, password string, err error) { return "u", "p", nil }}
	for addr, want := range map[string]string{"h": "u p", "redis://a@h": "a p", "redis://:b@h": " b", "redis://a:b@h": "a b"} {
		o, err := d.Options(addr)
		if err != nil {
			t.Fatal(err)
		}
		username, password := o.Username, o.Password
		if o.CredentialsProviderContext != nil {
			username, password, _ = o.CredentialsProviderContext(t.Context())
		}
		if got := username + " " + password; got != want {
			t.Errorf("%s: %q, not %q", addr, got, want)
		}
	}
}

func TestWhatIsNoAddressIsNamedSoThatItCanBeSeen(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"a,\ufeffb":          `"\ufeffb"`,
		"a\u200b:1":          `"a\u200b:1"`, // a space of no width
		"a\u00a0:1":          `"a\u00a0:1"`,
		"a\x1b[2J":           `"a\x1b[2J"`,
		"a\xff":              `"a\xff"`,
		"::1%":               `"::1%"`,
		"unix://run/r.sock":  "from the root on",
		"unix:///":           "from the root on",
		"unix:///run/":       "from the root on",
		"unix:///r?db=x":     "number of a database",
		"unix:///r?timeout=": "parameters but db",
		"unix:///r#x":        "parameters but db",
		"tcp://a":            "redis, rediss or unix",
	} {
		_, err := pool.ParseList(addr)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, without %s", addr, err, want)
		}
		if _, dialErr := pool.Dial(strings.Split(addr, ",")...); dialErr == nil || dialErr.Error() != err.Error() {
			t.Errorf("%q: Dial says %v", addr, dialErr)
		}
	}
	addrs, err := pool.ParseList("\ufeffa:1\r\nb:2\r\n") // a file that was written on Windows
	if err != nil || fmt.Sprint(addrs) != "[a:1 b:2]" {
		t.Errorf("%q: %v", addrs, err)
	}
}

func TestASocketOfThisMachineIsANode(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "redis.sock")
	servers(t, "--unixsocket", socket)
	n := dialWith(t, pool.Dialer{Timeout: patience, TLS: &tls.Config{MinVersion: tls.VersionTLS12}}, "unix://"+socket+"?db=1")
	if n.Addr() != socket {
		t.Errorf("its address is %q", n.Addr())
	}
	expect(t, "acquire", do(t, n, acquire(keys(t, "lock"), alice, 1)), pool.OK)
	looking := redis.NewClient(&redis.Options{Network: "unix", Addr: socket, DB: 1})
	defer looking.Close()
	if owner, err := looking.Get(t.Context(), "lock").Result(); owner != alice {
		t.Errorf("the lock is %q's (%v)", owner, err)
	}
}

func TestAServerThatDeniesTheClientsNameIsANode(t *testing.T) {
	t.Parallel()
	addr := servers(t).Addrs()[0]
	admin := redis.NewClient(&redis.Options{Addr: addr})
	defer admin.Close()
	if err := admin.Do(t.Context(), "ACL", "SETUSER", "u", "on", ">p", "~*", "&*", "+@all", "-client").Err(); err != nil {
		t.Fatal(err)
	}
	theirs := redis.NewClient(&redis.Options{Addr: addr, Username: "u", Password: "p", ClientName: "x"})
	defer theirs.Close()
	for what, n := range map[string]wire.Node{
		"an address": dialWith(t, pool.Dialer{Timeout: patience, Username: "u", Password: "p", ClientName: "x"}, addr),
		"a client":   opened(t, nodeOf(theirs)),
	} {
		expect(t, what, do(t, n, acquire(keys(t, what), alice, 1)), pool.OK)
	}
	n := dialWith(t, pool.Dialer{Timeout: patience, ClientName: "mine"}, addr)
	expect(t, "a name that is allowed", do(t, n, acquire(keys(t, "lock"), alice, 1)), pool.OK)
	if list, err := admin.ClientList(t.Context()).Result(); !strings.Contains(list, "name=mine ") {
		t.Errorf("no client is called so (%v): %s", err, list)
	}
}

// opened returns an open node for a test.
func opened(t *testing.T, n wire.Node) wire.Node {
	t.Helper()
	closeNode := n.Open()
	t.Cleanup(func() { _ = closeNode() })
	return n
}
