package sim_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ufm/internal/hardware"
	"ufm/pager"
	"ufm/sim"
)

// round is a device whose times are easy to add up, in µs: an expert of 1 MB takes 10 to
// compute, 100 over the link and 125 over one queue alone; the host's turn is 20, a
// barrier 1, a layer's rest 5. A queue waits 100 before a copy, as the model assumes.
func round(copies hardware.Copies) *sim.Machine {
	return &sim.Machine{
		Device: hardware.Ceilings{
			Device: "round", ReadGBs: 100, LinkGBs: 10, F32TFlops: 1000,
			SubmitWaitUs: 20, BarrierUs: 1,
			Link: []hardware.LinkRate{{Bytes: 1 << 16, UpGBs: 10, OneQueueGBs: 8}},
			Timing: &hardware.Timing{
				Copies: copies, Cores: 2, LayerUs: 5,
				Experts: []hardware.ExpertRate{{DType: "f32", Rows: 1, GBs: 100}},
			},
		},
		DType: "f32", ExpertBytes: 1e6, ExpertFlops: 2, DModel: 8,
	}
}

// steps makes a group of layer 0 for each step.
func steps(experts ...[]pager.ExpertID) []pager.Group {
	var groups []pager.Group
	for i, e := range experts {
		groups = append(groups, pager.Group{Step: i, Phase: pager.Decode, Experts: e})
	}
	return groups
}

func TestClock(t *testing.T) {
	type ids = []pager.ExpertID
	shape := pager.Shape{Layers: 1, Experts: 64, TopK: 1}
	many := make(ids, 64)
	for e := range many {
		many[e] = pager.ExpertID(e)
	}
	for _, c := range []struct {
		name   string
		copies hardware.Copies
		order  pager.Order
		slots  int
		groups []pager.Group
		want   []float64 // µs of each step
		stall  float64
	}{
		{
			// A step: the host's turn for the router, then for the group. One bundle of two:
			// 20 + (100 + 200) wait and copies + (20 + 1) compute + 5 + 20; then only hits.
			"queues", hardware.ByQueues, pager.ResidentFirst, 4,
			steps(ids{0, 1}, ids{0, 1}), []float64{366, 20 + 21 + 5 + 20}, 300,
		},
		{
			// The second miss takes the first one's slot: its upload waits for that compute.
			"one slot", hardware.ByQueues, pager.ResidentFirst, 1,
			steps(ids{0, 1}), []float64{20 + 2*(100+100+11) + 5 + 20}, 400,
		},
		{
			// 63 misses in two bundles of 33 and 30: the second queue's wait hides behind the
			// first one's copies, and so does its compute.
			"bundles", hardware.ByQueues, pager.ResidentFirst, 63,
			steps(many[:63]), []float64{20 + 100 + 6300 + 301 + 5 + 20}, 0,
		},
		{
			// The compute queue copies: 20 + 2·100 + 20 + 5 + 20, and the barriers were
			// measured with the kernels.
			"in turn", hardware.InTurn, pager.ResidentFirst, 4,
			steps(ids{0, 1}, ids{0, 1}), []float64{265, 65}, 0,
		},
		{
			// Each miss: wait, copy over one queue, the host's turn; compute runs behind.
			"published", hardware.ByQueues, pager.Ascending, 4,
			steps(ids{0, 1}, ids{0, 1}), []float64{20 + 2*(100+125+20) + 11 + 5 + 20, 66}, 490 - 11,
		},
		{
			// Two cores: copy 0 alone, then copy 1 beside compute 0, each at 2/3 of its speed:
			// 100 + 15 + 90, then compute 1 and the rest.
			"cores", hardware.ByCores, pager.ResidentFirst, 4,
			steps(ids{0, 1}, ids{0, 1}), []float64{100 + 15 + 90 + 10 + 5, 25}, 190,
		},
		{
			// The whole bank is there: one submission and one turn a step.
			"resident", hardware.ByQueues, pager.ResidentFirst, 64,
			steps(many, many), []float64{0, 20 + 641 + 5}, 0,
		},
	} {
		r, err := sim.Replay(shape, c.groups, sim.Options{
			Policy: "lru", Slots: c.slots, Order: c.order, Machine: round(c.copies),
		})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		for i, want := range c.want {
			if got := r.Times.Steps[i] / 1e3; want > 0 && math.Abs(got-want) > 1e-6 {
				t.Errorf("%s: step %d: got %.3f µs, want %.3f", c.name, i, got, want)
			}
		}
		if got := r.Times.Stalled() / 1e3; c.stall > 0 && math.Abs(got-c.stall) > 1e-6 {
			t.Errorf("%s: stall: got %.3f µs, want %.3f", c.name, got, c.stall)
		}
	}
}

// Time changes no decision, no step beats the ceilings, and a faster link is no slower.
func TestClockProperties(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 1))
		shape := pager.Shape{Layers: 1 + rng.IntN(4), Experts: 4 + rng.IntN(30), TopK: 2}
		slots := 1 + rng.IntN(shape.Universe()-1)
		var groups []pager.Group
		for i := range 40 * shape.Layers {
			g := pager.Group{Step: i / shape.Layers, Layer: i % shape.Layers}
			for _, e := range rng.Perm(shape.Experts)[:1+rng.IntN(shape.Experts)] {
				g.Experts = append(g.Experts, shape.ID(g.Layer, e))
			}
			slices.Sort(g.Experts)
			groups = append(groups, g)
		}
		for _, copies := range []hardware.Copies{hardware.ByQueues, hardware.InTurn, hardware.ByCores} {
			for _, order := range []pager.Order{pager.ResidentFirst, pager.Ascending} {
				where := fmt.Sprintf("seed %d, %s, %v", seed, copies, order)
				opts := sim.Options{Policy: "nextuse", Slots: slots, Order: order}
				plain, err := sim.Replay(shape, groups, opts)
				if err != nil {
					t.Fatal(err)
				}
				last := math.Inf(1)
				for _, link := range []float64{1, 10, 100} {
					m := round(copies)
					m.Device.LinkGBs, m.Device.Link = link, nil
					opts.Machine = m
					r, err := sim.Replay(shape, groups, opts)
					if err != nil {
						t.Fatal(err)
					}
					if r.Stats != plain.Stats {
						t.Fatalf("%s: got %+v with a clock, %+v without", where, r.Stats, plain.Stats)
					}
					least := max(r.Times.Read, r.Times.Link)
					if total := r.Times.Total(); total < least || total > last*(1+1e-9) {
						t.Errorf("%s, link %g: %.0f ns, want at least %.0f and at most %.0f",
							where, link, total, least, last)
					}
					last = r.Times.Total()
				}
			}
		}
	}
}

func TestMachineErrors(t *testing.T) {
	shape, groups := sim.Groups(small())
	for _, c := range []struct {
		machine sim.Machine
		want    string
	}{
		{sim.Machine{ExpertBytes: 1, ExpertFlops: 1}, "a ceiling is missing"},
		{sim.Machine{Device: round("queues").Device}, "the size of an expert is not known"},
	} {
		_, err := sim.Replay(shape, groups, sim.Options{Slots: 2, Machine: &c.machine})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got error %v, want one with %q", err, c.want)
		}
	}
}
