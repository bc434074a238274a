package marks

import (
	"os"
	"os/exec"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// There are eleven turns, each 80 ms after the one before; there was a pause before one of them.
func TestAGapWithAPauseIsLeftOut(t *testing.T) {
	t.Parallel()
	at := time.Now()
	var all []turn
	var paused pauses
	for i := range 11 {
		if i == 7 {
			paused = append(paused, span{at.Add(10 * time.Millisecond), at.Add(time.Second)})
			at = at.Add(time.Second)
		}
		at = at.Add(80 * time.Millisecond)
		all = append(all, turn{i % 2, at, at.Add(time.Millisecond)})
		at = at.Add(time.Millisecond)
	}
	if f := judge(all, 2, paused); f["gap p99"] != 80 || f["paused"] != 1 || f["hand-overs/s"] != 11 {
		t.Errorf("with the pause known: %v", f)
	}
	if f := judge(all, 2, nil); f["gap p50"] != 80 || f["gap p99"] != 1080 || f["paused"] != 0 {
		t.Errorf("with none known: %v", f)
	}
}

func TestThereIsNoPauseWhileTimersAreInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stop := watchPauses(20 * time.Millisecond)
		time.Sleep(time.Minute)
		if found := stop(); len(found) > 0 {
			t.Errorf("pauses were found: %v", found)
		}
	})
}

func TestAPauseExcusesFewFailures(t *testing.T) {
	t.Parallel()
	at := func(ms int) time.Time { return time.Unix(0, 0).Add(time.Duration(ms) * time.Millisecond) }
	paused := pauses{{at(100), at(300)}}
	failures := []span{{at(0), at(99)}, {at(0), at(100)}, {at(150), at(200)}, {at(300), at(400)}, {at(301), at(400)}}
	if failed, excused := paused.excuse(failures, 3); failed != 2 || excused != 3 {
		t.Errorf("three may be excused: %d failed, %d are", failed, excused)
	}
	if failed, excused := paused.excuse(failures, 2); failed != 5 || excused != 0 {
		t.Errorf("two may be excused: %d failed, %d are", failed, excused)
	}
}

// The pause is real: a child stops this process.
func TestAPauseIsFound(t *testing.T) { //nolint:paralleltest // it stops the others too
	stop := watchPauses(150 * time.Millisecond)
	began := time.Now()
	if err := exec.Command("sh", "-c", `kill -STOP "$1"; sleep 0.5; kill -CONT "$1"`, "sh", strconv.Itoa(os.Getpid())).Run(); err != nil {
		t.Fatal(err)
	}
	if found := stop(); !found.meet(span{began, time.Now()}) {
		t.Errorf("it was not found: %v", found)
	}
}

// The 99th of a hundred is not the greatest of them.
func TestOneInAHundredIsNoPercentile(t *testing.T) {
	t.Parallel()
	var s samples
	for i := range 100 {
		s = append(s, time.Duration(i+1)*time.Millisecond)
	}
	if s.percentile(99) != 99 || s.p50() != 50 || s[:1].percentile(99) != 1 {
		t.Errorf("p99 %v, p50 %v, of one %v", s.percentile(99), s.p50(), s[:1].percentile(99))
	}
}
