package docs_test

import (
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// root is the project's directory. If a test changed its directory instead, its result would be
// cached although the documents have changed.
var root = filepath.Join("..", "..")

// at returns a path below the project's root.
func at(path string) string { return filepath.Join(root, path) }
