package bench

import (
	"ufm/moe"
	"ufm/pager"
)

// row accounts for the cell, as far as it came.
func (c *cell) row() Row {
	r := c.asked()
	if bank := c.held(); bank != nil {
		r.HostBytes = new(bank.HostBytes())
	}
	r.NMSE, r.MaxAbsErr = c.verdict.nmse, c.verdict.maxAbs
	if c.needed == nil { // it did not come to its end
		return r
	}
	r.PeakDeviceBytes, r.NVMLBytes = &c.window.peak, c.window.nvml
	c.count(&r)
	c.time(&r)
	c.limit(&r)
	return r
}

// asked is the part of the row that is known before anything runs.
func (c *cell) asked() Row { return c.job.asked(c.mode, c.policy) }

// asked is the row of a mode before it runs.
func (j *job) asked(mode moe.Mode, policy pager.Policy) Row {
	s, d := j.shape, j.backend.Device()
	r := Row{
		Schema: RowSchema, RunID: j.env.runID, TimeUTC: j.env.timeUTC, Commit: j.env.commit,
		Mode: mode.String(), Backend: j.backend.Name(), Device: d.Name, Driver: d.Driver,
		Status: StatusOK, Kind: Measured,
		Model: j.Model.Name(), Layers: s.Layers, Experts: s.Experts, DModel: s.DModel,
		DHidden: s.DHidden, TopK: s.TopK, Form: s.Form.String(), DType: s.DType.String(),
		Routing: j.feed.routing(), Tokens: j.Tokens, Seed: j.Seed, Phase: j.feed.phase.String(),
		BankBytes: s.BankBytes(), Slots: j.slots, BudgetBytes: int64(j.slots) * s.ExpertBytes(),
	}
	switch mode {
	case moe.Baseline:
		r.Slots, r.BudgetBytes = s.Layers*s.Experts, s.BankBytes()
	case moe.Naive:
		r.Slots = 1
	case moe.Published:
		r.Policy = new("lru")
	case moe.UFM:
		if policy != nil {
			r.Policy = new(policy.Name())
		}
	}
	return r
}

func (c *cell) count(r *Row) {
	steps, stats, total := len(c.window.steps), c.window.stats, c.window.total()
	r.Steps = &steps
	r.Hits, r.LateHits, r.Misses = &stats.Hits, &stats.LateHits, &stats.Misses
	r.Uploads = &stats.Uploads
	r.UploadBytes = new(stats.Uploads * c.shape.ExpertBytes())
	r.Prefetches = &stats.Prefetches
	r.PrefetchUsed, r.PrefetchWasted = &stats.PrefetchUsed, &stats.PrefetchWasted
	if total.Submits > 0 {
		r.Submits = new(float64(total.Submits) / float64(steps))
		r.Waits = new(float64(total.Waits) / float64(steps))
	}
}

func (c *cell) time(r *Row) {
	ms := c.window.times()
	r.StepMsMedian, r.StepMsP10 = new(quantile(ms, 0.5)), new(quantile(ms, 0.1))
	r.StepMsP90 = new(quantile(ms, 0.9))
	r.StepMsMean = new(milliseconds(c.window.total().Wall) / float64(len(ms)))
	if *r.StepMsMedian > 0 {
		r.TokensPerS = new(float64(c.Tokens) * 1000 / *r.StepMsMedian)
	}
	total := c.window.total()
	if !total.Timed {
		return
	}
	steps := float64(len(ms))
	r.ComputeMs = new(milliseconds(total.Compute) / steps)
	r.UploadMs = new(milliseconds(total.Upload) / steps)
	r.StallMs = new(milliseconds(total.Stall) / steps)
	if total.Compute > 0 {
		read := c.window.stats.Accesses * c.shape.ExpertBytes()
		r.ReadGBs = new(float64(read) / float64(total.Compute))
	}
	if total.Upload > 0 && c.window.moved > 0 {
		r.LinkGBs = new(float64(c.window.moved) / float64(total.Upload))
	}
}

// limit compares the window with what the ceilings allow and with the fewest uploads.
func (c *cell) limit(r *Row) {
	var uploads int64
	demands := make([]demand, 0, len(c.needed))
	for i, n := range c.needed {
		uploads += n
		distinct := len(c.requests.groups[c.warmUp+i].Experts)
		demands = append(demands, demandOf(c.shape, c.Tokens*c.shape.TopK, distinct, n))
	}
	r.BeladyUploads = &uploads
	steps := len(c.window.steps)
	wall := milliseconds(c.window.total().Wall)
	d := c.backend.Device()
	ceilings := ceilingsFor(c.Ceilings, d, c.shape, mayRound(d, c.Tokens, c.exact()))
	if l := newLimit(ceilings, steps, demands); l != nil && wall > 0 {
		r.LimitMs, r.LimitBy, r.ChainMs = &l.ms, &l.by, &l.chain
		r.LimitFraction = new(l.ms / *r.StepMsMean) // both are means: a median is no bound
	}
	if c.Ceilings.LinkGBs > 0 && wall > 0 {
		r.LinkFraction = new(float64(c.window.moved) / (c.Ceilings.LinkGBs * 1e6 * wall))
	}
}
