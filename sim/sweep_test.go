package sim_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ufm/pager"
	"ufm/sim"
)

func smallSweep(policies ...string) *sim.Sweep {
	return &sim.Sweep{
		Traces: []sim.Source{{Name: "a", Trace: small()}, {Name: "b", Trace: small()}},
		Slots:  "2,50%,8", Policies: policies, Seed: 7,
	}
}

// A sweep's rows are those of replays one by one, whatever the order of the cells' ends.
func TestSweepEqualsReplays(t *testing.T) {
	s := smallSweep("lru", "published", "nextuse", "belady")
	told := 0
	s.Progress = func(done, total int) {
		if told++; done != told || total != 24 {
			t.Errorf("told of %d of %d, want %d of 24", done, total, told)
		}
	}
	got, notes, err := s.Run(context.Background())
	if err != nil || len(notes) > 0 {
		t.Fatalf("got notes %v, error %v", notes, err)
	}
	var want []sim.Row
	shape, groups := sim.Groups(small())
	for _, name := range []string{"a", "b"} {
		for _, policy := range s.Policies {
			for _, slots := range []int{2, 4, 8} {
				opts := sim.Options{Policy: policy, Slots: slots}
				if policy == "published" {
					opts = sim.Options{Policy: "lru", Order: pager.Ascending, Slots: slots}
				}
				r, err := sim.Replay(shape, groups, opts)
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, sim.Row{
					Trace: name, Policy: policy, Slots: slots, SlotsFraction: float64(slots) / 8,
					Seed: 7, Accesses: r.Stats.Accesses, Hits: r.Stats.Hits, Misses: r.Stats.Misses,
					HitRate: float64(r.Stats.Hits) / float64(r.Stats.Accesses),
					Uploads: r.Stats.Uploads,
				})
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestSweepInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	s := smallSweep("lru", "fifo", "nextuse")
	s.Progress = func(int, int) { cancel() }
	rows, _, err := s.Run(ctx)
	if !errors.Is(err, context.Canceled) || len(rows) == 0 || len(rows) == 18 {
		t.Errorf("got %d rows, error %v, want some and context.Canceled", len(rows), err)
	}
}

func TestSweepTellsOfClampedSlots(t *testing.T) {
	s := smallSweep("lru")
	s.Slots = "9"
	rows, notes, err := s.Run(context.Background())
	want := []string{
		"a: slots 9: the bank has 8 experts, more slots are not used",
		"b: slots 9: the bank has 8 experts, more slots are not used",
	}
	if diff := cmp.Diff(want, notes); err != nil || diff != "" || rows[0].Slots != 8 {
		t.Errorf("rows %v, error %v, notes (-want +got):\n%s", rows, err, diff)
	}
}
