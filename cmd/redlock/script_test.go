package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/go-redlock/redlock/cmd/redlock/internal/leash"
	"github.com/go-redlock/redlock/internal/redisserver"
)

func TestMain(m *testing.M) {
	leash.Guard()
	testscript.Main(m, map[string]func(){"redlock": main})
}

// startServers starts masters for one test.
func startServers(t interface {
	Helper()
	Skip(...any)
	Fatal(...any)
	Cleanup(func())
}, n int, args ...string,
) *redisserver.Servers {
	t.Helper()
	s, err := redisserver.Start(n, args...)
	if errors.Is(err, redisserver.ErrNone) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// TestScripts runs the scripts: each shows what a subcommand prints and how it ends. Those of a folder that needs masters find
// them in REDLOCK_NODES.
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
			e.Setenv("REDLOCK_NODES", strings.Join(servers.Addrs(), ","))
			return nil
		},
	})
}

// TestDoctorFindsEachFault has masters with one fault each.
func TestDoctorFindsEachFault(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	testscript.Run(t, testscript.Params{
		Dir:  filepath.Join("testdata", "doctor"),
		Cmds: scriptCommands,
		Setup: func(e *testscript.Env) error {
			mu.Lock()
			defer mu.Unlock()
			servers, err := redisserver.Start(3, "--appendonly", "yes", "--appendfsync", "always")
			if err != nil {
				return err //nolint:wrapcheck // it says all
			}
			e.Defer(servers.Stop)
			addrs := servers.Addrs()
			for i, addr := range addrs {
				e.Setenv("NODE"+strconv.Itoa(i+1), addr)
				_, port, _ := strings.Cut(addr, ":")
				e.Setenv("PORT"+strconv.Itoa(i+1), port)
			}
			e.Setenv("REDLOCK_NODES", strings.Join(addrs, ","))
			return nil
		},
		Condition: func(cond string) (bool, error) {
			_, err := exec.LookPath(cond)
			return err == nil, nil
		},
	})
}

// scriptCommands are the commands of our own that scripts may use.
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
