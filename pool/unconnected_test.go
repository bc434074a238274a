package pool_test

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// A server may accept connections and never answer, for instance because it does not speak TLS. The
// error names the limit that was over, and the option that sets it.
func TestAConnectionThatIsNotMadeInTimeNamesTheOption(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		dialer pool.Dialer
		hint   bool
	}{
		"plain": {pool.Dialer{Timeout: time.Second}, false},
		"tls":   {pool.Dialer{Timeout: time.Second, TLS: &tls.Config{MinVersion: tls.VersionTLS12}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = silent.Close() })
			n := dialWith(t, test.dialer, silent.Addr().String())
			var r wire.Reply
			for range 60 { // the first requests are over before the attempt is
				r = within(t, n, &wire.Request{Verb: pool.Check}, 500*time.Millisecond)
				if strings.Contains(r.Err.Error(), "Timeout of pool.Dialer") {
					break
				}
			}
			if r.Verdict != pool.Unavailable || !r.Unsent || !strings.Contains(r.Err.Error(), "Timeout of pool.Dialer") ||
				strings.Contains(r.Err.Error(), "speak TLS") != test.hint {
				t.Errorf("%+v", r)
			}
		})
	}
}
