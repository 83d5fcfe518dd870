//go:build cgo && linux

package vulkan

import (
	"fmt"
	"testing"
)

// record records n empty command buffers, submits them and returns the last one's value.
func (r *recorder) record(t *testing.T, n int, waits bool) uint64 {
	t.Helper()
	for range n {
		c, err := r.begin(waits)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.end(c, r.last+1); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.batch.submit(); err != nil {
		t.Fatal(err)
	}
	return r.last
}

// TestRecorder records groups of different sizes, while those before are under way or finished,
// and finds the times of just those that have finished, in order.
func TestRecorder(t *testing.T) {
	b := open(t, Options{})
	r, err := newRecorder(b.device, &batch{queue: b.device.Compute()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	latest := uint64(0)
	collect := func(what string, want int) {
		t.Helper()
		times, timed, err := r.times()
		if err != nil || !timed || len(times) != 2*want {
			t.Fatalf("%s: got %d times, timed %v, %v, want %d", what, len(times), timed, err, 2*want)
		}
		for _, v := range times {
			if v < latest {
				t.Fatalf("%s: times do not ascend: %d after %d", what, v, latest)
			}
			latest = v
		}
		if err := r.recycle(); err != nil {
			t.Fatal(err)
		}
	}
	for i, n := range []int{1, 3, 2, 7, 1, 0, 12, 5} {
		before := r.record(t, 2, false)
		last := r.record(t, n, true)
		if err := r.prepare(i); err != nil {
			t.Fatal(err)
		}
		if err := r.timeline.Wait(t.Context(), last); err != nil {
			t.Fatal(err)
		}
		r.finished(before)
		collect(fmt.Sprintf("round %d, the first", i), 2)
		r.finished(last)
		if n > 0 && !r.at(0).waits {
			t.Errorf("round %d: the first of the rest does not wait", i)
		}
		collect(fmt.Sprintf("round %d, the rest", i), n)
	}
	if made := len(r.ring); made > 2+12+7 {
		t.Errorf("%d command buffers, want no more than were in use at a time", made)
	}

	last := r.record(t, maxTimed+1, false) // more than have times
	if err := r.timeline.Wait(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	r.finished(last)
	if _, timed, err := r.times(); timed || err != nil {
		t.Errorf("%d at once: got timed %v, %v, want untimed", maxTimed+1, timed, err)
	}
	if err := r.recycle(); err != nil {
		t.Fatal(err)
	}
	for range 30 { // more than once around the ring: what comes after is timed
		last = r.record(t, 100, false)
		if err := r.timeline.Wait(t.Context(), last); err != nil {
			t.Fatal(err)
		}
		r.finished(last)
		collect("after too many", 100)
	}
}
