package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/go-redlock/redlock/cmd/redlock/internal/leash"
	"github.com/go-redlock/redlock/internal/redisserver"
	"github.com/go-redlock/redlock/internal/servertest"
)

func TestMain(m *testing.M) {
	leash.Guard()
	testscript.Main(leakChecked{m}, programs)
}

// programs are the programs that this binary acts as, by name.
var programs = map[string]func(){"redlock": main}

// leakChecked runs the tests, and fails if they leave a goroutine behind.
type leakChecked struct{ *testing.M }

// Run implements testscript.TestingM.
func (m leakChecked) Run() int {
	heed(syscall.SIGHUP, syscall.SIGINT)
	// programs that are built with the race detector wait for a second when they end
	_ = os.Setenv("GORACE", strings.TrimSpace(os.Getenv("GORACE")+" atexit_sleep_ms=0"))
	status := m.M.Run()
	if err := goleak.Find(); err != nil && status == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

// heed makes sure that programs started from here do not ignore these signals, even if the shell
// that runs the tests ignores them, as in the background of a script or under nohup. A signal that
// is handled in a process is not ignored in its children.
func heed(signals ...os.Signal) {
	for _, s := range signals {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
}

// startServers starts masters for one test.
func startServers(t servertest.Test, n int, args ...string) *redisserver.Servers {
	t.Helper()
	return servertest.Start(t, n, args...)
}

// TestScripts runs the scripts. Each shows what a subcommand prints and how it ends. The scripts of
// a folder that needs masters find them in REDLOCK_NODES.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{Dir: filepath.Join("testdata", "script"), Cmds: scriptCommands})
}

func TestScriptsOnMasters(t *testing.T) {
	t.Parallel()
	servers := startServers(t, 5)
	testscript.Run(t, testscript.Params{
		Dir:  filepath.Join("testdata", "masters"),
		Cmds: scriptCommands,
		Setup: func(e *testscript.Env) error {
			name(e, servers)
			// as an editor on Windows writes it
			list := "\ufeff" + strings.Join(servers.Addrs(), "\r\n") + "\r\n"
			return os.WriteFile(filepath.Join(e.WorkDir, "nodes"), []byte(list), 0o600)
		},
		Condition: installed,
	})
}

// TestDoctorFindsEachFault has masters with one fault each.
func TestDoctorFindsEachFault(t *testing.T) {
	t.Parallel()
	startServers(t, 1).Stop() // or skips the test
	testscript.Run(t, testscript.Params{
		Dir:  filepath.Join("testdata", "doctor"),
		Cmds: scriptCommands,
		Setup: func(e *testscript.Env) error {
			servers, err := redisserver.Start(3, "--appendonly", "yes", "--appendfsync", "always")
			if err != nil {
				return err //nolint:wrapcheck // the error says it all
			}
			e.Defer(servers.Stop)
			addrs := servers.Addrs()
			name(e, servers)
			e.Setenv("SLOW3", standIn(e, addrs[2], func(text []byte) []byte { <-time.After(30 * time.Millisecond); return text }))
			e.Setenv("OLD3", standIn(e, addrs[2], func(text []byte) []byte {
				return version.ReplaceAll(text, []byte("${1}6"))
			}))
			e.Setenv("RUDE3", standIn(e, addrs[2], func(text []byte) []byte {
				return bytes.ReplaceAll(text, []byte("noeviction"), []byte("\x1b[2Jevicti"))
			}))
			e.Setenv("AHEAD3", standIn(e, addrs[2], func(text []byte) []byte {
				return timeReply.ReplaceAllFunc(text, func(reply []byte) []byte {
					seconds, _ := strconv.Atoi(string(reply[len(reply)-10:]))
					return strconv.AppendInt(reply[:len(reply)-10], int64(seconds)+10, 10)
				})
			}))
			return nil
		},
		Condition: installed,
	})
}

// TestScriptsOnMastersWithFaults has masters of its own, which it may freeze.
func TestScriptsOnMastersWithFaults(t *testing.T) {
	t.Parallel()
	startServers(t, 1).Stop() // or skips the test
	testscript.Run(t, testscript.Params{
		Dir:  filepath.Join("testdata", "waiting"),
		Cmds: scriptCommands,
		Setup: func(e *testscript.Env) error {
			servers, err := redisserver.Start(3)
			if err != nil {
				return err //nolint:wrapcheck // the error says it all
			}
			e.Defer(servers.Stop)
			name(e, servers)
			var far []string
			for _, addr := range servers.Addrs() {
				far = append(far, standIn(e, addr, func(text []byte) []byte { <-time.After(600 * time.Millisecond); return text }))
			}
			e.Setenv("FAR_NODES", strings.Join(far, ","))
			return nil
		},
	})
}

// name gives a script the addresses of its masters.
func name(e *testscript.Env, servers *redisserver.Servers) {
	e.Setenv("GORACE", os.Getenv("GORACE"))
	addrs := servers.Addrs()
	for i, addr := range addrs {
		e.Setenv("NODE"+strconv.Itoa(i+1), addr)
		_, port, _ := strings.Cut(addr, ":")
		e.Setenv("PORT"+strconv.Itoa(i+1), port)
		e.Setenv("PID"+strconv.Itoa(i+1), strconv.Itoa(servers.Process(i).Pid))
	}
	e.Setenv("REDLOCK_NODES", strings.Join(addrs, ","))
}

// installed reports whether the machine has a program.
func installed(program string) (bool, error) {
	_, err := exec.LookPath(program)
	return err == nil, nil
}

var (
	version   = regexp.MustCompile(`((?:redis|valkey)_version:)\d`)
	timeReply = regexp.MustCompile(`\*2\r\n\$10\r\n\d{10}`)
)

// standIn starts a proxy that ends with the script, and returns its address.
func standIn(e *testscript.Env, server string, do func([]byte) []byte) string {
	addr, stop, err := proxy(server, do)
	if err != nil {
		e.T().Fatal(err)
	}
	e.Defer(stop)
	return addr
}

// scriptCommands are additional commands for scripts.
var scriptCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	// exits CODE COMMAND ARGS…: the command must end with that exit code.
	"exits": func(ts *testscript.TestScript, _ bool, args []string) {
		want, got := args[0], 0
		if err := ts.Exec(args[1], args[2:]...); err != nil {
			exit, ok := errors.AsType[*exec.ExitError](err)
			if !ok {
				ts.Fatalf("%v", err)
			}
			got = exit.ExitCode()
		}
		if strconv.Itoa(got) != want {
			ts.Fatalf("exit code %d, not %s\n%s%s", got, want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
		}
	},
	// allow RULE…: creates the handbook's user anew on the first server, with further rules.
	"allow": func(ts *testscript.TestScript, _ bool, args []string) {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
		ts.Check(err)
		_, rule, found := strings.Cut(string(text), "ACL SETUSER locks ")
		if !found {
			ts.Fatalf("docs/operations.md has no ACL SETUSER any more")
		}
		rule, _, _ = strings.Cut(rule, "\n")
		words := append([]string{"-p", ts.Getenv("PORT1"), "ACL", "SETUSER", "locks", "reset"}, strings.Fields(rule)...)
		ts.Check(ts.Exec("redis-cli", append(words, args...)...))
	},
	// fifo NAME…: makes named pipes, by which background commands are waited for.
	"fifo": func(ts *testscript.TestScript, _ bool, args []string) {
		for _, a := range args {
			ts.Check(ts.Exec("mkfifo", a))
		}
	},
	// tell FIFO: writes a line into a named pipe.
	"tell": func(ts *testscript.TestScript, _ bool, args []string) {
		ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte("go\n"), 0o600))
	},
}
