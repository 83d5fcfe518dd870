package vulkan

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"ufm/internal/hardware"
	"ufm/pager"
	"ufm/sim"
)

// The simulator's clock follows this scheduler: a plain walk over the scheduler's ops,
// with the times that the clock gives to each, ends at the same time: of a host whose work
// counts and of one that takes no time to record. Neither knows that the second upload of a
// group waits for half of the first.
func TestSimulatorFollowsSchedule(t *testing.T) {
	device := hardware.Ceilings{
		Device: "test", ReadGBs: 900, LinkGBs: 20, F32TFlops: 1000, SubmitWaitUs: 30, BarrierUs: 3,
	}
	// With lru hits leave in the order in which they stand; with others they do not.
	policies := []string{"lru", "nextuse", "mru", "random"}
	for seed := range uint64(120) {
		device.Host, device.CopyWaitUs = nil, 0
		if seed%2 == 1 {
			device.CopyWaitUs = 12
			device.Host = &hardware.HostCosts{LayerUs: 50, UploadUs: 7, CopyUs: 2, ComputeUs: 11}
		}
		rng := rand.New(rand.NewPCG(seed, 0))
		shape := pager.Shape{Layers: 1 + rng.IntN(4), Experts: 2 + rng.IntN(40), TopK: 1}
		slots := 1 + rng.IntN(shape.Universe())
		size := int64(1<<20) << rng.IntN(6)
		groups := randomGroups(rng, shape, 60)
		machine := &sim.Machine{
			Device: device, DType: "f32", ExpertBytes: size, ExpertFlops: 2, DModel: 8,
		}
		policy := policies[seed/2%uint64(len(policies))]
		got, err := sim.Replay(shape, groups, sim.Options{Slots: slots, Policy: policy, Machine: machine})
		if err != nil {
			t.Fatal(err)
		}
		want := walk(t, shape, groups, policy, slots, size, &device)
		if diff := math.Abs(got.Times.Total() - want); diff > 1e-6*want {
			t.Fatalf("seed %d: %+v, %s, %d slots of %d bytes: the clock says %.0f ns, the walk %.0f",
				seed, shape, policy, slots, size, got.Times.Total(), want)
		}
	}
}

func randomGroups(rng *rand.Rand, shape pager.Shape, steps int) []pager.Group {
	var groups []pager.Group
	for i := range steps * shape.Layers {
		g := pager.Group{Step: i / shape.Layers, Layer: i % shape.Layers}
		for _, e := range rng.Perm(shape.Experts)[:1+rng.IntN(shape.Experts)] {
			g.Experts = append(g.Experts, shape.ID(g.Layer, e))
		}
		slices.Sort(g.Experts)
		groups = append(groups, g)
	}
	return groups
}

// walk runs the scheduler's ops one after the other and returns the time of all steps.
func walk(
	t *testing.T, shape pager.Shape, groups []pager.Group, name string, slots int, size int64,
	d *hardware.Ceilings,
) float64 {
	t.Helper()
	policy, err := pager.NewPolicy(name, shape, slots)
	if err != nil {
		t.Fatal(err)
	}
	p, err := pager.New(pager.Options{Shape: shape, Slots: slots, Policy: policy})
	if err != nil {
		t.Fatal(err)
	}
	s := newScheduler(slots, maxTransfers, size)
	turn, barrier := 1e3*d.SubmitWaitUs, 1e3*d.BarrierUs
	paged, copyWait, host := turn, 100e3, hardware.HostCosts{}
	if d.Host != nil {
		host = *d.Host
		paged, copyWait = 1e3*(host.LayerUs-host.ComputeUs), 1e3*d.CopyWaitUs
	}
	compute, upload := map[uint64]float64{0: 0}, map[uint64]float64{0: 0} // ends, by value
	var now, free, link float64
	var queue [maxTransfers]float64
	resident := false
	for i, g := range groups {
		if i == 0 || g.Step != groups[i-1].Step {
			if resident {
				now = max(now, free) + turn
			}
			if resident = p.Full(); !resident {
				now = max(now, free) + paged
			}
		}
		plan, err := p.Request(g)
		if err != nil {
			t.Fatal(err)
		}
		ops := s.group(plan)
		sent, begun := now, now
		if !resident {
			uploading := 0.0
			for _, o := range ops {
				if o.upload {
					uploading += 1e3 * (host.UploadUs + float64(len(o.accesses)-1)*host.CopyUs)
				} else {
					begun += 1e3 * host.ComputeUs
				}
			}
			if uploadsOf(ops) < manyUploads { // one queue after the other, then computes
				uploading *= maxTransfers
				begun += uploading
			}
			sent += uploading
			now = max(begun, sent)
		}
		free = max(free, begun)
		for _, o := range ops {
			n := float64(len(o.accesses))
			start := 0.0
			for _, v := range o.afterWrite {
				start = max(start, upload[v])
			}
			if !o.upload {
				free = max(free, start) + n*float64(size)/d.ReadGBs + barrier
				compute[o.signal] = free
				continue
			}
			start = max(start, sent, queue[o.queue], compute[o.afterRead])
			end := max(start+copyWait, link) + n*float64(size)/d.LinkGBs
			link, queue[o.queue], upload[o.signal] = end, end, end
		}
		free += 7 * barrier
		if !resident {
			now = max(now, free) + paged
		}
	}
	if resident {
		now = max(now, free) + turn
	}
	return now
}
