package sim_test

import (
	"math"
	"slices"
	"testing"

	"ufm/internal/hardware"
	"ufm/pager"
	"ufm/sim"
)

// Each expert takes the time of its own rows, not of the group's mean.
func TestClockCountsOwnRows(t *testing.T) {
	m := round(hardware.InTurn)
	m.Device.Timing.Experts = []hardware.ExpertRate{ // 10, 10 and 30 µs
		{DType: "f32", Rows: 1, GBs: 100},
		{DType: "f32", Rows: 2, GBs: 100},
		{DType: "f32", Rows: 3, GBs: 100. / 3},
	}
	shape := pager.Shape{Layers: 1, Experts: 64, TopK: 1}
	opts := sim.Options{Policy: "lru", Slots: 4, Machine: m, Tokens: []int32{4, 4}}
	for _, c := range []struct {
		name string
		rows []int32
		want float64 // µs of two hits
	}{
		{"mean", nil, 10 + 10},
		{"own", []int32{1, 3, 3, 1}, 30 + 10},
	} {
		opts.Rows = c.rows
		r, err := sim.Replay(shape, steps([]pager.ExpertID{0, 1}, []pager.ExpertID{0, 1}), opts)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Times.Steps[1]/1e3 - 20 - 5 - 20; math.Abs(got-c.want) > 1e-6 {
			t.Errorf("%s: got %.3f µs, want %.0f", c.name, got, c.want)
		}
	}
}

// What cores and copier leave each other is as it was measured.
func TestClockSharesCoresAsMeasured(t *testing.T) {
	m := round(hardware.ByCores)
	rate := &m.Device.Timing.Experts[0]
	rate.Beside, rate.CopyBeside = 0.1, 0.8
	r, err := sim.Replay(pager.Shape{Layers: 1, Experts: 64, TopK: 1},
		steps([]pager.ExpertID{0, 1}), sim.Options{Policy: "lru", Slots: 4, Machine: m})
	if err != nil {
		t.Fatal(err)
	}
	// Copy 0 alone, then compute 0 in 100 µs, in which copy 1 does 80, then the other 20 of
	// it, compute 1 and the rest.
	if got, want := r.Times.Steps[0]/1e3, 100+100+20+10+5.; math.Abs(got-want) > 1e-6 {
		t.Errorf("got %.3f µs, want %.0f", got, want)
	}
}

func TestGroupRows(t *testing.T) {
	s := small()
	_, groups := sim.Groups(s)
	rows, tokens := sim.GroupRows(s), sim.GroupTokens(s)
	at := 0
	for i, g := range groups {
		sum := int32(0)
		for _, n := range rows[at:][:len(g.Experts)] {
			sum += n
		}
		if want := tokens[i] * int32(s.TopK); sum != want {
			t.Errorf("group %d: %d rows, want %d", i, sum, want)
		}
		at += len(g.Experts)
	}
	if at != len(rows) || slices.Min(rows) < 1 {
		t.Errorf("got rows %v for %d experts", rows, at)
	}
}

// A layer costs its tokens, their choices among its experts, and further choices.
func TestClockOfLayers(t *testing.T) {
	m := round(hardware.InTurn) // 8 dimensions, so that 125 are 1 µs
	timing := m.Device.Timing
	timing.GateUs, timing.ChoiceUs = 125, 3*125
	timing.TokenUs = 2*125 + hardware.TimedExperts*timing.GateUs
	for _, c := range []struct {
		experts, topK int
		want          float64 // µs of a token
	}{
		{hardware.TimedExperts, 1, 2 + 64}, {10, 1, 2 + 10}, {10, 3, 2 + 10 + 2*3},
	} {
		r, err := sim.Replay(pager.Shape{Layers: 1, Experts: c.experts, TopK: c.topK},
			steps([]pager.ExpertID{0}, []pager.ExpertID{0}),
			sim.Options{Policy: "lru", Slots: 1, Machine: m})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Times.Steps[1]/1e3 - 20 - 10*float64(c.topK) - 5 - 20; math.Abs(got-c.want) > 1e-6 {
			t.Errorf("%d experts, top-%d: got %.3f µs a token, want %.0f", c.experts, c.topK, got, c.want)
		}
	}
}

// Only rates that may be those of caches are held to the read ceiling.
func TestClockTrustsLargeBanks(t *testing.T) {
	m := round(hardware.InTurn)
	m.Device.Timing.Experts[0].GBs = 200 // 5 µs
	for bank, want := range map[int64]float64{0: 10, 1 << 28: 5} {
		m.Device.Timing.BankBytes = bank
		r, err := sim.Replay(pager.Shape{Layers: 1, Experts: 2, TopK: 1},
			steps([]pager.ExpertID{0}, []pager.ExpertID{0}),
			sim.Options{Policy: "lru", Slots: 1, Machine: m})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Times.Steps[1]/1e3 - 20 - 5 - 20; math.Abs(got-want) > 1e-6 {
			t.Errorf("bank of %d bytes: got %.3f µs an expert, want %.0f", bank, got, want)
		}
	}
}
