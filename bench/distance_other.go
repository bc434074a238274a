//go:build !linux

package main

import (
	"context"
	"errors"
)

func distanceChild() {}

func benchDistance(context.Context, settings) error {
	return errors.New("-distance needs Linux: network namespaces and TUN devices")
}
