package main

import (
	"strconv"
	"testing"
)

func TestTheHighestBarEndsBelowTheLastTick(t *testing.T) {
	t.Parallel()
	for _, greatest := range []float64{0.003, 0.99, 1, 1.92, 4, 9.99, 10, 15.97, 16, 33, 6990, 7000} {
		c := newChart("")
		c.end(greatest)
		ticks := c.Y.Tick.Marker.Ticks(0, 0)
		last := ticks[len(ticks)-1]
		label, err := strconv.ParseFloat(last.Label, 64)
		if last.Value <= greatest || c.Y.Max != last.Value || err != nil || label < last.Value*0.999 || label > last.Value*1.001 {
			t.Errorf("%v: the axis ends at %v, its last tick is %v, %q", greatest, c.Y.Max, last.Value, last.Label)
		}
		if len(ticks) < 5 || len(ticks) > 12 {
			t.Errorf("%v: there are %d ticks", greatest, len(ticks))
		}
	}
}
