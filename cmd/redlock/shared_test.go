//go:build unix

package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// A hundred readers and ten writers take a machine with two processors half a minute.
var readersRun = flag.Int("readers", 20, "how many processes read a file that a tenth as many write")

// Each writer writes its token twice, with a pause in between. A reader that reads while somebody
// writes finds one token only, or two that differ, or a change between two looks; or a token above
// its own, if somebody writes whose turn comes later.
func TestProcessesThatShareALockSeeNoTornFile(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	page := filepath.Join(t.TempDir(), "page")
	if err := os.WriteFile(page, []byte("1\n1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	write := fmt.Sprintf(`echo $REDLOCK_FENCE >%[1]s; sleep 0.02; echo $REDLOCK_FENCE >>%[1]s`, page)
	read := fmt.Sprintf(`a=$(cat %[1]s); sleep 0.02; b=$(cat %[1]s); set -- $b
		echo "token $REDLOCK_FENCE reads:" $a, then $b
		[ "$a" = "$b" ] && [ $# = 2 ] && [ $1 = $2 ] && [ $1 -le $REDLOCK_FENCE ]`, page)
	var all sync.WaitGroup
	run := func(flags, script string) {
		all.Go(func() {
			if out, err := s.redlock("run", flags, "page", "--", "sh", "-c", script).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	for i := range *readersRun {
		if i%10 == 0 {
			run("--ttl=10s", write)
		}
		run("--shared", read)
	}
	all.Wait()
}
