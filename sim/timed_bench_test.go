package sim_test

import (
	"strconv"
	"testing"

	"ufm/internal/hardware"
	"ufm/sim"
)

// machine is a device whose figures are round.
func machine() *sim.Machine {
	return &sim.Machine{
		Device: hardware.Ceilings{Device: "test", ReadGBs: 1000, LinkGBs: 10, F32TFlops: 10},
		DType:  "f32", ExpertBytes: 1 << 20, ExpertFlops: 1 << 19, DModel: 512,
	}
}

// Whole groups with the clock beside them.
func BenchmarkTimed(b *testing.B) {
	shape, groups := decoded(b, tiny)
	for _, policy := range []string{"lru", "nextuse"} {
		for _, slots := range []int{64, 192} {
			b.Run("policy="+policy+"/slots="+strconv.Itoa(slots), func(b *testing.B) {
				b.ReportAllocs()
				accesses := int64(0)
				for b.Loop() {
					r, err := sim.Replay(shape, groups, sim.Options{
						Policy: policy, Slots: slots, Machine: machine(),
					})
					if err != nil {
						b.Fatal(err)
					}
					accesses += r.Stats.Accesses
				}
				b.ReportMetric(float64(accesses)/b.Elapsed().Seconds()/1e6, "Maccesses/s")
			})
		}
	}
}
