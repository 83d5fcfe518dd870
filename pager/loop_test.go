package pager_test

import (
	"testing"

	"ufm/pager"
)

// TestLoop checks policies on a loop over 1000 experts, where they differ most, against
// what libCacheSim (2024-10) has there, to a thousandth: 400,000 accesses. Its random is
// not uniform, so that one is held to the hit ratio h = exp(-(1 - h) × experts / slots).
func TestLoop(t *testing.T) {
	t.Parallel()
	shape := pager.Shape{Layers: 1, Experts: 1000, TopK: 1}
	loop := make([]pager.ExpertID, 1000)
	for i := range loop {
		loop[i] = pager.ExpertID(i)
	}
	for _, c := range []struct {
		policy string
		slots  int
		want   float64 // hit ratio
	}{
		{"lru", 950, 0}, {"fifo", 950, 0}, {"clock", 950, 0}, {"sieve", 950, 0},
		{"arc", 950, 0}, {"lfu", 950, 0},
		{"s3fifo", 500, 0}, {"s3fifo", 800, .656}, {"s3fifo", 950, .766},
		{"2q", 500, 0}, {"2q", 800, .662}, {"2q", 950, .899},
		{"lirs", 500, .494}, {"lirs", 800, .790}, {"lirs", 950, .939},
		{"mru", 800, .798}, {"random", 800, .627}, {"random", 950, .900},
	} {
		p, err := pager.New(pager.Options{
			Shape: shape, Slots: c.slots, Policy: newPolicy(t, c.policy, shape, c.slots),
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 400 {
			if err := p.RequestEach(loop); err != nil {
				t.Fatal(err)
			}
		}
		got := float64(p.Stats().Hits) / 400_000
		if got < c.want-.001 || got > c.want+.001 {
			t.Errorf("%s, %d slots: got hit ratio %.4f, want %.3f", c.policy, c.slots, got, c.want)
		}
	}
}
