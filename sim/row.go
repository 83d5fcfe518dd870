package sim

import "ufm/pager"

// Row is the result of one cell of a sweep: one policy, one pool, one trace. All
// formats use the same names in the same order. Nil is unknown, never 0. Counts are
// exact; late hits, stalls and tokens per second come from the time model: modeled.
type Row struct {
	Trace         string   `json:"trace"`
	Policy        string   `json:"policy"` // with its parameters
	Slots         int      `json:"slots"`
	SlotsFraction float64  `json:"slots_fraction"` // of the bank's experts
	Flat          bool     `json:"flat"`           // single accesses instead of groups
	Seed          uint64   `json:"seed"`
	Accesses      int64    `json:"accesses"`
	Hits          int64    `json:"hits"`
	Misses        int64    `json:"misses"`
	HitRate       float64  `json:"hit_rate"`
	LateHits      *int64   `json:"late_hits"`
	Uploads       int64    `json:"uploads"`
	UploadBytes   *int64   `json:"upload_bytes"`
	StallMs       *float64 `json:"stall_ms"` // mean of a step
	TokensPerS    *float64 `json:"tokens_per_s"`
	LimitBy       *string  `json:"limit_by"` // memory, compute or link

	LinkUse     float64   `json:"-"` // share of the time that the link moved bytes
	LayerStalls []float64 `json:"-"` // (layers) milliseconds, mean of a step
}

func newRow(w *workload, slots int, n pager.Stats) Row {
	return Row{
		Trace: w.Name, Slots: slots,
		SlotsFraction: float64(slots) / float64(w.shape.Universe()),
		Accesses:      n.Accesses, Hits: n.Hits, Misses: n.Misses,
		HitRate: float64(n.Hits) / float64(n.Accesses), Uploads: n.Uploads,
	}
}

// time fills in what the clock tells.
func (row *Row) time(r Result, m *Machine, tokens int) {
	t, steps := r.Times, float64(len(r.Times.Steps))
	row.LateHits = &r.Stats.LateHits
	row.UploadBytes = new(r.Stats.Uploads * m.ExpertBytes)
	row.StallMs = new(t.Stalled() / steps / 1e6)
	row.TokensPerS = new(float64(tokens) / t.Total() * 1e9)
	row.LimitBy = new(t.limitBy(float64(*row.UploadBytes) / m.Device.LinkGBs))
	row.LinkUse = t.Link / t.Total()
	for _, stall := range t.Stall {
		row.LayerStalls = append(row.LayerStalls, stall/steps/1e6)
	}
}

// limitBy names the ceiling that the work comes nearest to: its uploads would take the
// link so long.
func (t *Times) limitBy(link float64) string {
	switch {
	case link >= t.Read && link >= t.Operation:
		return "link"
	case t.Operation > t.Read:
		return "compute"
	}
	return "memory"
}
