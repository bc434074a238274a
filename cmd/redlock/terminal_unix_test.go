//go:build unix && !linux

package main

import (
	"errors"
	"os"
)

// terminalName is not known here.
func terminalName(*os.File) (string, error) { return "", errors.ErrUnsupported }
