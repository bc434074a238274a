package pool_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

const wrongPassword = "-WRONGPASS invalid username-password pair or user is disabled.\r\n"

// The server's answer to the request does not count if the greeting has failed. The caller is told
// that the request may have been carried out.
func TestARequestThatWentOutWithAGreetingIsJudgedAfterIt(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		hello, info string
		want        pool.Verdict
		because     error // nil: any
		server      string
	}{
		"all is well":                 {greeting, "", pool.OK, nil, "f00d"},
		"the server knows no HELLO":   {"-ERR unknown command 'hello'\r\n", "", pool.OK, nil, "f00d"},
		"it is too old":               {greeting, "redis_version:6.2.7\r\n", pool.Refused, pool.ErrTooOld, ""},
		"it hangs up after HELLO":     {greeting, hangsUp, pool.Unavailable, nil, ""},
		"it hangs up":                 {"", "", pool.Unavailable, nil, ""},
		"its answer makes no sense":   {"?\r\n", "", pool.Unavailable, pool.ErrBadReply, ""},
		"its answer would be endless": {"$99999999999\r\n", "", pool.Unavailable, nil, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			const trip = 100 * ms
			l, f := newFar(t, trip, granted)
			f.hello, f.info = test.hello, test.info
			n := l.open(t, redis.Options{})
			reply, took := in(t, n, 10*time.Second, acquire(keys(t, "lock"), alice, 1))
			expect(t, name, reply, test.want)
			if reply.Unsent || reply.Server != test.server || took != 2*trip || test.because != nil && !errors.Is(reply.Err, test.because) {
				t.Errorf("%s: %+v after %v", name, reply, took)
			}
			synctest.Wait()
			if c := f.commands("evalsha"); len(c) > 1 {
				t.Errorf("%s: the request was sent %d times", name, len(c))
			}
			if test.want == pool.OK {
				return
			}
			before := len(f.commands("evalsha"))
			time.Sleep(time.Minute)
			reply, _ = in(t, n, 10*time.Second, acquire(keys(t, "lock"), alice, 1))
			if !reply.Unsent || len(f.commands("evalsha")) != before {
				t.Errorf("%s: the next request went out with a greeting too: %+v", name, reply)
			}
		})
	}
}

// A server that is too old would grant a plain lock with SET before its version is known.
func TestAPlainLockThatIsAskedForWithAGreetingIsAskedForByScript(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]pool.Verdict{"7.0.0": pool.OK, "6.0.16": pool.Refused} {
		f := newFake(t, func(command []string) string {
			if command[0] == "set" {
				return "+OK\r\n"
			}
			return bulk("OK 1")
		})
		f.info = "redis_version:" + version + "\r\n"
		n := dial(t, f.addr)
		plain := acquire(keys(t, "lock"), alice, 0)
		plain.Fence = ""
		expect(t, version, do(t, n, plain), want)
		if c := f.commands("set", "evalsha"); len(c) > 1 || len(f.commands("set")) > 0 {
			t.Errorf("%s: %q", version, c)
		}
		if want != pool.OK {
			continue
		}
		plain = acquire(keys(t, "other"), alice, 0)
		plain.Fence = ""
		expect(t, version, do(t, n, plain), want)
		if c := f.commands("set"); len(c) != 1 {
			t.Errorf("%s: the next was asked for by %q", version, f.commands("set", "evalsha"))
		}
	}
}

// It might be carried out for another user, or in another database.
func TestARequestWaitsUntilItsUserAndItsDatabaseAreGranted(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]redis.Options{
		"a password": {Username: "locks", Password: "secret"},
		"a database": {DB: 3},
		"a limiter":  {Limiter: free{}},
	} {
		synctest.Test(t, func(t *testing.T) {
			const trip = 100 * ms
			l, f := newFar(t, trip, func(command []string) string {
				switch command[0] {
				case "select":
					return "-ERR DB index is out of range\r\n"
				case "auth":
					return wrongPassword
				}
				return bulk("OK 1")
			})
			if o.Password != "" {
				f.hello = wrongPassword
			}
			n := l.open(t, o)
			if name != "a limiter" {
				reply, _ := in(t, n, 10*time.Second, acquire(keys(t, "lock"), alice, 1))
				expect(t, name, reply, pool.Refused)
				if c := f.commands("evalsha"); len(c) != 0 || !reply.Unsent {
					t.Errorf("%s: %+v, and %q was sent", name, reply, c)
				}
			}
			f.hello, f.answer = greeting, func(command []string) string {
				if command[0] == "select" {
					return "+OK\r\n"
				}
				return bulk("OK 1")
			}
			flights := []int{4, 2, 2} // another test shows which greetings are sent in one
			if name == "a limiter" {
				flights = []int{3, 3, 3}
			}
			for _, most := range flights {
				time.Sleep(time.Minute) // longer than a connection may be idle
				reply, took := in(t, n, 10*time.Second, acquire(keys(t, "lock"), alice, 1))
				if expect(t, name, reply, pool.OK); took > time.Duration(most)*trip || took < time.Duration(min(most, 3))*trip {
					t.Errorf("%s: %v, not %d round trips", name, took, most)
				}
			}
		})
	}
}

// A free limiter limits nothing.
type free struct{}

func (free) Allow() error       { return nil }
func (free) ReportResult(error) {}

// The password may have changed by then.
func TestARequestThatWentOutWithARefusedPasswordIsNotSentAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, f := newFar(t, ms, func(command []string) string {
			if command[0] == "auth" {
				return wrongPassword
			}
			return bulk("OK 1")
		})
		n := l.open(t, redis.Options{Username: "locks", Password: "secret"})
		reply, _ := in(t, n, time.Second, acquire(keys(t, "lock"), alice, 1))
		expect(t, "greeted", reply, pool.OK)
		f.hello = wrongPassword
		for i, unsent := range []bool{false, true, true} {
			time.Sleep(time.Minute)
			reply, _ := in(t, n, time.Second, acquire(keys(t, "lock"), bob, 1))
			expect(t, "refused", reply, pool.Refused)
			// the server does not read the other one
			if c := len(f.commands("evalsha")); reply.Unsent != unsent || c != 1 {
				t.Errorf("request %d: %+v, %d were sent", i, reply, c)
			}
		}
	})
}

// A proxy may no longer accept a greeting and a request together. Then another connection is made,
// over which the request must not be sent again.
func TestARequestIsNotSentAgainOverTheConnectionThatIsMadeInsteadOfItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, f := newFar(t, ms, func(command []string) string {
			if command[0] == "auth" {
				return "+OK\r\n"
			}
			return bulk("OK 1")
		})
		n := l.open(t, redis.Options{Password: "secret"})
		reply, _ := in(t, n, time.Second, acquire(keys(t, "lock"), alice, 1))
		expect(t, "greeted", reply, pool.OK)
		time.Sleep(time.Minute)
		f.hello = "-ERR unknown command 'hello'\r\n"
		reply, _ = in(t, n, time.Second, acquire(keys(t, "lock"), bob, 1))
		expect(t, "after the change", reply, pool.Unavailable)
		// which the server does not read
		if c := len(f.commands("evalsha")); reply.Unsent || errors.Is(reply.Err, pool.ErrBadReply) || c != 1 {
			t.Errorf("%+v, %d requests were read", reply, c)
		}
		reply, took := in(t, n, time.Second, acquire(keys(t, "lock"), bob, 1))
		if expect(t, "the next", reply, pool.OK); took != ms || l.dials.Load() != 3 {
			t.Errorf("it took %v, over connection %d", took, l.dials.Load())
		}
	})
}

func TestTheAnswerToARequestThatHasLeftIsNoneToTheNext(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{"granted": bulk("OK 1"), "not known": "-NOSCRIPT No matching script.\r\n", "null": "$-1\r\n", "hung up": ""} {
		for _, greeted := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				const trip = 100 * ms
				l, f := newFar(t, trip, func(command []string) string {
					if !strings.Contains(strings.Join(command, " "), alice) {
						return bulk("GONE")
					}
					if greeted { // before the request has left
						time.Sleep(3 * trip)
					}
					return answer
				})
				if !greeted {
					f.late = 3 * trip
				}
				n := l.open(t, redis.Options{})
				reply, took := in(t, n, 2*trip+trip/2, acquire(keys(t, "lock"), alice, 1))
				expect(t, name, reply, pool.Unavailable)
				if reply.Unsent || took > 2*trip+trip/2+2*ms {
					t.Errorf("%s: %+v after %v", name, reply, took)
				}
				time.Sleep(10 * trip)
				for _, most := range []time.Duration{5 * trip, trip} {
					reply, took = in(t, n, 10*time.Second, by(pool.Release, keys(t, "lock"), bob, 0))
					if expect(t, name, reply, pool.Gone); took > most {
						t.Errorf("%s: after %v", name, took)
					}
				}
				kept := !greeted && answer != ""
				if c := f.commands("evalsha", "eval"); (l.dials.Load() == 1) != kept || len(c) != 3 {
					t.Errorf("%s: %d connections, %q", name, l.dials.Load(), c)
				}
			})
		}
	}
}

// Then several connections are made, each with a request.
func TestRequestsThatComeTogetherEachGoOutWithAGreeting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const trip = 100 * ms
		l, f := newFar(t, trip, granted)
		n := l.open(t, redis.Options{})
		var all sync.WaitGroup
		for i := range 3 {
			all.Go(func() {
				// while the previous one connects, or waits for its answer
				time.Sleep(time.Duration(i) * trip * 3 / 4)
				reply, took := in(t, n, time.Second, acquire(keys(t, "lock"), alice, 1))
				if expect(t, "acquire", reply, pool.OK); took > 2*trip {
					t.Errorf("request %d: %v", i, took)
				}
			})
		}
		all.Wait()
		if l.dials.Load() > 3 || len(f.commands("evalsha")) != 3 {
			t.Errorf("%d connections, %d requests", l.dials.Load(), len(f.commands("evalsha")))
		}
	})
}

// The requests may be sent together if the server tells its run id, and otherwise one by one.
func TestRequestsThatShareARoundTripWaitForTheGreeting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const trip = 100 * ms
		l, f := newFar(t, trip, func([]string) string { return bulk("OK 1\nOK 2") })
		n := l.open(t, redis.Options{})
		calls := []wire.Call{{Request: acquire(keys(t, "a"), alice, 1)}, {Request: acquire(keys(t, "b"), bob, 1)}}
		began := time.Now()
		// which is too short for another round trip
		n.Do(deadline{t.Context(), began.Add(250 * ms)}, calls)
		for i := range calls {
			if r := calls[i].Reply; !r.Unsent || !errors.Is(r.Err, pool.ErrConnecting) || len(f.commands("evalsha")) != 0 {
				t.Errorf("%+v, %d requests were sent", r, len(f.commands("evalsha")))
			}
		}
		n.Do(deadline{t.Context(), time.Now().Add(250 * ms)}, calls)
		for i := range calls {
			expect(t, "acquire", calls[i].Reply, pool.OK)
		}
		if len(f.commands("evalsha")) != 1 || l.dials.Load() != 1 {
			t.Errorf("%d requests over %d connections", len(f.commands("evalsha")), l.dials.Load())
		}
	})
}

func TestClosingANodeEndsARequestThatWentOutWithAGreeting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		read, mute := make(chan struct{}), make(chan struct{})
		defer close(mute)
		l, f := newFar(t, ms, func([]string) string { close(read); <-mute; return "" })
		user := redis.NewClient(&redis.Options{Addr: l.Addr().String(), Dialer: l.dial})
		defer user.Close()
		n := nodeOf(user)
		end := n.Open()
		told := make(chan wire.Reply)
		go func() {
			reply, _ := in(t, n, time.Minute, acquire(keys(t, "lock"), alice, 1))
			told <- reply
		}()
		<-read
		began := time.Now()
		if err := end(); err != nil {
			t.Error(err)
		}
		reply := <-told
		expect(t, "the request", reply, pool.Unavailable)
		if reply.Unsent || time.Since(began) > ms || len(f.commands("evalsha")) != 1 {
			t.Errorf("%+v after %v", reply, time.Since(began))
		}
	})
}

func TestAContextThatIsCancelledEndsTheWaitForAGreeting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const trip = 100 * ms
		l, _ := newFar(t, trip, granted)
		n := l.open(t, redis.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		time.AfterFunc(trip+trip/2, cancel)
		calls := []wire.Call{{Request: acquire(keys(t, "lock"), alice, 1)}}
		began := time.Now()
		n.Do(ctx, calls)
		if r, took := calls[0].Reply, time.Since(began); r.Verdict != pool.Unavailable || r.Unsent || !errors.Is(r.Err, context.Canceled) || took != trip+trip/2 {
			t.Errorf("%+v after %v", r, took)
		}
		reply, took := in(t, n, time.Second, by(pool.Release, keys(t, "lock"), alice, 0))
		if reply.Verdict == pool.Unavailable || took > 2*trip || l.dials.Load() > 2 {
			t.Errorf("%+v after %v over %d connections", reply, took, l.dials.Load())
		}
	})
}
