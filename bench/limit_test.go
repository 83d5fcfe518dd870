package bench

import (
	"math"
	"testing"

	"ufm/internal/hardware"
	"ufm/moe"
)

// The published benchmark's expert: 2048×8192 + 8192×2048 in float32, 0.125 GiB.
var published = moe.Shape{
	Layers: 1, Experts: 96, DModel: 2048, DHidden: 8192, TopK: 2, Form: moe.GELU,
}

var card = hardware.Ceilings{ReadGBs: 3170, LinkGBs: 51, F32TFlops: 51}

func TestLimit(t *testing.T) {
	const tokens = 512
	for _, c := range []struct {
		name     string
		rows     int
		distinct int
		uploads  int64
		wantMs   float64
		wantBy   string
	}{
		// 96 × 0.125 GiB / 3.17 TB/s; 16 × 0.125 GiB / 51 GB/s; 4096 × 2 × 67 MFLOP / 51 TFLOP/s
		{"resident", tokens * 2, 96, 0, 4.065, byMemory},
		{"paged", tokens * 2, 144, 16, 42.107, byLink},
		{"many tokens", 4096 * 2, 48, 0, 10.779, byCompute},
		{"nothing", 0, 0, 0, 0, byMemory},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := demandOf(published, c.rows, c.distinct, c.uploads)
			got := newLimit(card, 1, []demand{d})
			if math.Abs(got.ms-c.wantMs) > 0.001 || got.by != c.wantBy {
				t.Errorf("got %.3f ms by %s, want %.3f by %s", got.ms, got.by, c.wantMs, c.wantBy)
			}
			if got.chain != got.ms {
				t.Errorf("one layer: got a chain of %v ms, want the limit, %v", got.chain, got.ms)
			}
		})
	}
}

func TestLimitOfSeveralLayers(t *testing.T) {
	c := hardware.Ceilings{ReadGBs: 1, LinkGBs: 1, F32TFlops: 1}
	demands := []demand{ // two steps of two layers: 2 ms read, 3 ms uploaded in one layer each
		{readBytes: 2e6}, {linkBytes: 3e6},
		{readBytes: 2e6}, {linkBytes: 3e6},
	}
	got := newLimit(c, 2, demands)
	if want := (limit{ms: 3, by: byLink, chain: 5}); *got != want {
		t.Errorf("got %+v, want %+v", *got, want)
	}
}

func TestLimitUnknown(t *testing.T) {
	for _, c := range []hardware.Ceilings{
		{}, {ReadGBs: 1, LinkGBs: 1}, {ReadGBs: 1, F32TFlops: 1}, {LinkGBs: 1, F32TFlops: 1},
	} {
		if got := newLimit(c, 1, []demand{{readBytes: 1}}); got != nil {
			t.Errorf("ceilings %+v give a limit: %+v", c, got)
		}
	}
	if got := newLimit(card, 0, nil); got != nil {
		t.Errorf("no steps give a limit: %+v", got)
	}
}

// TestLimitOnMatrixUnits: the rate of float32 does not bound what runs on other units, and
// those take as many products as the promised precision needs.
func TestLimitOnMatrixUnits(t *testing.T) {
	work := []demand{{readBytes: 1e9, flops: 1e15}}
	scalar, matrix := moe.Device{}, moe.Device{MatrixUnits: true}
	known := card
	known.BF16TFlops, known.F16TFlops = 600, 500
	compute := func(tflops float64) float64 { return 1e15 / (tflops * 1e9) }
	for _, c := range []struct {
		name    string
		card    hardware.Ceilings
		on      moe.Device
		dtype   moe.DType
		rounded bool
		by      string
		ms      float64
	}{
		{"scalar units", card, scalar, moe.BF16, true, byCompute, compute(51)},
		{"unknown rate", card, matrix, moe.BF16, true, byMemory, 1e9 / (card.ReadGBs * 1e6)},
		{"unknown rate, float32", card, matrix, moe.F32, false, byMemory, 1e9 / (card.ReadGBs * 1e6)},
		{"float32", known, matrix, moe.F32, true, byCompute, compute(51 + 100)},
		{"exact", known, matrix, moe.F16, false, byCompute, compute(51 + 200)},
		{"rounded", known, matrix, moe.BF16, true, byCompute, compute(51 + 600)},
	} {
		ceilings := ceilingsFor(c.card, c.on, moe.Shape{DType: c.dtype}, c.rounded)
		got := newLimit(ceilings, 1, work)
		if got == nil || got.by != c.by || math.Abs(got.ms-c.ms) > 1e-9*c.ms {
			t.Errorf("%s: got %+v, want %g ms by %s", c.name, got, c.ms, c.by)
		}
	}
}

// TestMayRound: no expert has more rows than there are tokens.
func TestMayRound(t *testing.T) {
	d := moe.Device{RoundedRows: 64}
	for _, c := range []struct {
		device moe.Device
		tokens int
		exact  bool
		want   bool
	}{
		{d, 64, false, true}, {d, 63, false, false}, {d, 64, true, false}, {moe.Device{}, 64, false, false},
	} {
		if got := mayRound(c.device, c.tokens, c.exact); got != c.want {
			t.Errorf("%+v: got %v", c, got)
		}
	}
}
