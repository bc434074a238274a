package main

import (
	"bytes"
	"testing"
	"testing/synctest"
)

func TestOnlyTheTokenSavesTheNewerWrite(t *testing.T) {
	t.Parallel()
	const want = `The storage checks tokens: false
  alice locks, sees that her lease is valid, and is paused
  bob locks and writes
  alice wakes and writes
  the file is alice's
The storage checks tokens: true
  alice locks, sees that her lease is valid, and is paused
  bob locks and writes
  alice wakes and writes, and is refused: stale token
  the file is bob's
`
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		if err := run(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		if out.String() != want {
			t.Errorf("the story went\n%s", out.String())
		}
	})
}
