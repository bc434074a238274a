//go:build !linux

package main

import "os"

// foundIgnored returns nothing: this system does not say which signals were ignored at the start.
func foundIgnored() []os.Signal { return nil }
