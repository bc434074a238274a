//go:build unix && !linux

package main

import (
	"errors"
	"os"
)

// terminalName is not implemented for this system.
func terminalName(*os.File) (string, error) { return "", errors.ErrUnsupported }
