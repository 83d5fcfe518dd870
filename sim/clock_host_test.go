package sim_test

import (
	"math"
	"testing"

	"ufm/internal/hardware"
	"ufm/pager"
	"ufm/sim"
)

// What recording takes the host comes before copies and computes.
func TestClockHost(t *testing.T) {
	type ids = []pager.ExpertID
	twice := steps(ids{0, 1}, ids{0, 1})
	for _, c := range []struct {
		name   string
		copies hardware.Copies
		order  pager.Order
		want   []float64 // µs of each step
	}{
		// A turn is 30 with one compute, 22 without. One bundle of two: 6 + 1, and as much again, for
		// only one goroutine of two records; then its wait and copies, while the compute is
		// recorded; then only hits, in one compute of 8.
		{"queues", hardware.ByQueues, pager.ResidentFirst,
			[]float64{22 + 14 + 50 + 200 + 21 + 5 + 22, 22 + 8 + 21 + 5 + 22}},
		// One queue starts when both are recorded: its copies wait for nothing else.
		{"in turn", hardware.InTurn, pager.ResidentFirst,
			[]float64{22 + 7 + 8 + 200 + 20 + 5 + 22, 22 + 8 + 20 + 5 + 22}},
		// Each miss is recorded and waited for, then its compute recorded.
		{"published", hardware.ByQueues, pager.Ascending,
			[]float64{22 + 2*(6+50+125+20+8) + 11 + 5 + 22, 22 + 8 + 21 + 5 + 22}},
		// The host is the device: see TestClock.
		{"cores", hardware.ByCores, pager.ResidentFirst, []float64{220, 25}},
	} {
		m := round(c.copies)
		m.Device.CopyWaitUs = 50
		m.Device.Host = &hardware.HostCosts{
			LayerUs: 30, ResidentUs: 4, UploadUs: 6, CopyUs: 1, ComputeUs: 8,
		}
		r, err := sim.Replay(pager.Shape{Layers: 1, Experts: 64, TopK: 1}, twice, sim.Options{
			Policy: "lru", Slots: 4, Order: c.order, Machine: m,
		})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		for i, want := range c.want {
			if got := r.Times.Steps[i] / 1e3; math.Abs(got-want) > 1e-6 {
				t.Errorf("%s: step %d: got %.3f µs, want %.3f", c.name, i, got, want)
			}
		}
	}
}

// A step with everything resident is recorded before it begins, layer by layer; what was
// measured as a step's own has one. A single token is recorded in one go.
func TestClockRecordsResidentLayers(t *testing.T) {
	m := round(hardware.ByQueues)
	m.Device.Host = &hardware.HostCosts{ResidentUs: 4, ComputeUs: 8}
	groups := []pager.Group{
		{Layer: 0, Experts: []pager.ExpertID{0, 1}}, {Layer: 1, Experts: []pager.ExpertID{2, 3}},
	}
	for tokens, recording := range map[int32]float64{1: 0, 2: 4} {
		r, err := sim.Replay(pager.Shape{Layers: 2, Experts: 2, TopK: 1}, groups, sim.Options{
			Slots: 4, Resident: true, Machine: m, Tokens: []int32{tokens, tokens},
		})
		if err != nil {
			t.Fatal(err)
		}
		want := recording + 2*(21+5) + 20
		if got := r.Times.Total() / 1e3; math.Abs(got-want) > 1e-6 {
			t.Errorf("%d tokens: got %.3f µs, want %.0f", tokens, got, want)
		}
	}
}
