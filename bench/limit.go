package bench

import (
	"math"

	"ufm/internal/hardware"
	"ufm/moe"
)

// The terms of a limit, as limit_by names them.
const (
	byMemory  = "memory"
	byCompute = "compute"
	byLink    = "link"
)

// demand is the least that a group, a layer of a step, asks of the hardware.
type demand struct {
	readBytes int64 // distinct experts, each read once
	flops     int64
	linkBytes int64 // what the best policy uploads
}

// demandOf is what rows (tokens × top-k) spread over distinct experts ask for.
func demandOf(s moe.Shape, rows, distinct int, bestUploads int64) demand {
	return demand{
		readBytes: int64(distinct) * s.ExpertBytes(),
		flops:     int64(rows) * s.ExpertFlops(),
		linkBytes: bestUploads * s.ExpertBytes(),
	}
}

// limit is the least time of a step, in milliseconds, that measured ceilings allow.
type limit struct {
	ms float64
	by string
	// chain is the limit where no layer can start before the one before it ends: what
	// one layer leaves idle, another cannot use.
	chain float64
}

// ceilingsFor are the ceilings that bound a model on a device: with matrix units, float32
// arithmetic is what both kinds of units do together at the precision that is promised,
// whichever of them the kernels use. Where the matrix units' rate is not measured, arithmetic
// is no bound: any finite rate would be a guess, and that of the scalar units is too low.
// rounded tells whether activations may be rounded to 16 bits.
func ceilingsFor(c hardware.Ceilings, d moe.Device, s moe.Shape, rounded bool) hardware.Ceilings {
	if !d.MatrixUnits || c.F32TFlops <= 0 {
		return c
	}
	if rate := c.MatrixTFlops(); rate > 0 {
		c.F32TFlops += rate / matrixProducts(s.DType, rounded)
	} else {
		c.F32TFlops = math.Inf(1)
	}
	return c
}

// matrixProducts is the least number of products of 16-bit operands that make one of a weight
// and an activation. A 16-bit operand holds 8 or 11 bits, so a float32 that must not be
// rounded is the sum of three. Of two such sums, the products of parts whose numbers add up to
// three or more are below what one rounding of float32 costs; six are left.
func matrixProducts(t moe.DType, rounded bool) float64 {
	switch {
	case t == moe.F32:
		return 6
	case rounded:
		return 1
	}
	return 3
}

// mayRound tells whether a step of so many tokens may give an expert enough rows for its
// activations to be rounded.
func mayRound(d moe.Device, tokens int, exact bool) bool {
	return !exact && d.RoundedRows > 0 && tokens >= d.RoundedRows
}

// newLimit takes the largest of three times: weights read, operations, uploads. All
// of them can overlap, so nothing is faster. It is nil where a ceiling is not known.
func newLimit(c hardware.Ceilings, steps int, demands []demand) *limit {
	if steps == 0 || c.ReadGBs <= 0 || c.F32TFlops <= 0 || c.LinkGBs <= 0 {
		return nil
	}
	var total demand
	var chain float64
	for _, d := range demands {
		total.readBytes += d.readBytes
		total.flops += d.flops
		total.linkBytes += d.linkBytes
		ms, _ := d.longest(c)
		chain += ms
	}
	ms, by := total.longest(c)
	return &limit{ms: ms / float64(steps), by: by, chain: chain / float64(steps)}
}

// longest is the term that takes longest at full speed, and its time.
func (d demand) longest(c hardware.Ceilings) (ms float64, by string) {
	ms, by = float64(d.readBytes)/(c.ReadGBs*1e6), byMemory
	if compute := float64(d.flops) / (c.F32TFlops * 1e9); compute > ms {
		ms, by = compute, byCompute
	}
	if link := float64(d.linkBytes) / (c.LinkGBs * 1e6); link > ms {
		ms, by = link, byLink
	}
	return ms, by
}
