package pool_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/auth"

	"github.com/go-redlock/redlock/pool"
)

// A stream provides credentials, and later newer ones.
type stream struct {
	mu        sync.Mutex
	password  string
	listeners map[auth.CredentialsListener]bool
}

func (s *stream) Subscribe(l auth.CredentialsListener) (auth.Credentials, auth.UnsubscribeFunc, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners[l] = true
	return auth.NewBasicCredentials("locks", s.password), func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.listeners, l)
		return nil
	}, nil
}

func (s *stream) tell(password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.password = password
	for l := range s.listeners {
		l.OnNext(auth.NewBasicCredentials("locks", password))
	}
}

func (s *stream) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.listeners)
}

func TestNewerCredentialsAreUsedFromTheNextRequestOn(t *testing.T) {
	t.Parallel()
	f := newFake(t, granted)
	s := &stream{password: "older", listeners: make(map[auth.CredentialsListener]bool)}
	user := redis.NewClient(&redis.Options{Addr: f.addr, StreamingCredentialsProvider: s})
	defer user.Close()
	n := nodeOf(user)
	end := n.Open()
	for _, password := range []string{"older", "newer"} {
		s.tell(password)
		for range 3 {
			expect(t, password, do(t, n, acquire(keys(t, "lock"), alice, 1)), pool.OK)
		}
		if c := f.commands("hello"); s.count() != 1 || !slices.Contains(c[len(c)-1], password) {
			t.Errorf("%s: %q, %d connections are told of newer ones", password, c, s.count())
		}
	}
	if c := f.connections(); c != 2 || len(f.commands("evalsha")) != 6 {
		t.Errorf("%d connections, %d requests", c, len(f.commands("evalsha")))
	}
	if err := end(); err != nil || s.count() != 0 {
		t.Errorf("%v; %d connections are told of newer ones after the node was closed", err, s.count())
	}
}
