package redlocktest_test

import (
	"testing"
	"testing/synctest"
)

// The examples pass as tests.
func TestTheExamplesPass(tt *testing.T) { //nolint:paralleltest // the examples share t
	for name, example := range map[string]func(){
		"New": ExampleNew, "Locker": ExampleQuorum_Locker, "Nodes": ExampleQuorum_Nodes, "Hold": ExampleQuorum_Hold,
		"Share": ExampleQuorum_Share,
		"Lose":  ExampleQuorum_Lose, "Held": ExampleQuorum_Held, "Freeze": ExampleQuorum_Freeze, "Thaw": ExampleQuorum_Thaw,
		"Kill": ExampleQuorum_Kill, "Restart": ExampleQuorum_Restart, "Lease": ExampleLease,
		"Slow": ExampleQuorum_Slow, "Isolate": ExampleQuorum_Isolate, "RestartWithData": ExampleQuorum_RestartWithData,
		"WithPrefix": ExampleQuorum_WithPrefix,
	} {
		tt.Run(name, func(tt *testing.T) { //nolint:paralleltest // see above
			synctest.Test(tt, func(tt *testing.T) {
				t = tt
				example()
			})
		})
	}
}
