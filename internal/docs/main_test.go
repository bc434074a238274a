package docs_test

import (
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// root is the project's. A test that changed the directory instead would have its result cached
// though the documents have changed.
var root = filepath.Join("..", "..")

// at is a path from the project's root.
func at(path string) string { return filepath.Join(root, path) }
