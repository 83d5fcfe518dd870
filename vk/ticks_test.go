package vk

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// scaleTicks must agree with exact arithmetic to a part in 10⁸, and exactly for whole
// periods, which are what today's GPUs have.
func TestScaleTicks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		period := rapid.SampledFrom([]float64{1, 10, 38.46154, 52.0833, 83.333, 1000}).Draw(t, "period")
		tick := rapid.Uint64Range(0, 1<<54).Draw(t, "tick")
		ticks := []uint64{tick}
		scaleTicks(ticks, period)

		exact := new(big.Float).SetUint64(tick)
		exact.Mul(exact, big.NewFloat(period))
		want, _ := exact.Uint64()
		slack := uint64(0)
		if period != math.Trunc(period) {
			slack = 1 + want/1e8
		}
		if got := ticks[0]; got > want+slack || got+slack < want {
			t.Errorf("%d ticks of %v ns: got %d, want %d ± %d", tick, period, got, want, slack)
		}
	})
}
