package docs_test

import (
	"log"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// The tests name files from the project's root.
func TestMain(m *testing.M) {
	if err := os.Chdir("../.."); err != nil {
		log.Fatal(err)
	}
	goleak.VerifyTestMain(m)
}
