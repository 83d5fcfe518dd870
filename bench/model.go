package bench

import (
	"runtime"
	"slices"
	"sync"

	"ufm/internal/hardware"
	"ufm/sim"
)

// Model is what the simulator's clock says of measured rows: for each a row of kind
// modeled, with the figures that the clock has. Where it has none, status is skipped and
// error tells why. Only c, what was asked and the number of steps go into it.
func Model(rows []Row, c hardware.Ceilings) []Row {
	modeled := make([]Row, len(rows))
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(rows)) {
		workers.Go(func() {
			for i := range next {
				modeled[i] = rows[i].modeled(c)
			}
		})
	}
	for i := range rows {
		next <- i
	}
	close(next)
	workers.Wait()
	return modeled
}

func (r Row) modeled(c hardware.Ceilings) Row {
	m := r.whatWasAsked()
	m.Kind, m.Commit = Modeled, Commit()
	result, err := replay(&r, c)
	if err != nil {
		m.Status, m.Error = StatusSkipped, new(err.Error())
		return m
	}
	m.Status, m.Steps = StatusOK, r.Steps
	m.countReplay(result)
	m.timeReplay(result.Times)
	m.ModelErrorFraction = new(*m.StepMsMedian / *r.StepMsMedian - 1)
	return m
}

// whatWasAsked is a row without its figures.
func (r Row) whatWasAsked() Row {
	return Row{
		Schema: r.Schema, RunID: r.RunID, TimeUTC: r.TimeUTC, Mode: r.Mode, Backend: r.Backend,
		Device: r.Device, Driver: r.Driver, Model: r.Model, Layers: r.Layers, Experts: r.Experts,
		DModel: r.DModel, DHidden: r.DHidden, TopK: r.TopK, Form: r.Form, DType: r.DType,
		Routing: r.Routing, Tokens: r.Tokens, Seed: r.Seed, Policy: r.Policy, Phase: r.Phase,
		BankBytes: r.BankBytes, BudgetBytes: r.BudgetBytes, Slots: r.Slots,
	}
}

func (r *Row) countReplay(result sim.Result) {
	stats := result.Stats
	r.Hits, r.LateHits, r.Misses, r.Uploads = &stats.Hits, &stats.LateHits, &stats.Misses, &stats.Uploads
	r.UploadBytes = new(stats.Uploads * (r.BankBytes / int64(r.Layers*r.Experts)))
}

func (r *Row) timeReplay(t *sim.Times) {
	steps := slices.Sorted(slices.Values(t.Steps))
	n := 1e6 * float64(len(steps)) // of a sum in nanoseconds, its mean in milliseconds
	r.StepMsMedian, r.StepMsMean = new(quantile(steps, 0.5)/1e6), new(t.Total()/n)
	r.StepMsP10, r.StepMsP90 = new(quantile(steps, 0.1)/1e6), new(quantile(steps, 0.9)/1e6)
	r.TokensPerS = new(float64(r.Tokens) * 1000 / *r.StepMsMedian)
	r.ComputeMs, r.StallMs = new(t.Compute/n), new(t.Stalled()/n)
}
