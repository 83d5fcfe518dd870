package bench

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"ufm/internal/hardware"
	"ufm/moe"
	"ufm/pager"
	"ufm/sim"
)

// Prediction sets a measured row beside what the simulator's clock says of the same
// steps. Its names are those of Row where they mean the same.
type Prediction struct {
	Mode        string   `json:"mode"`
	Backend     string   `json:"backend"`
	Device      string   `json:"device"`
	Layers      int      `json:"layers"`
	Experts     int      `json:"experts"`
	DModel      int      `json:"d_model"`
	DHidden     int      `json:"d_hidden"`
	TopK        int      `json:"top_k"`
	Form        string   `json:"form"`
	DType       string   `json:"dtype"`
	Tokens      int      `json:"tokens"`
	Slots       int      `json:"slots"`
	Policy      *string  `json:"policy"`
	Uploads     *int64   `json:"uploads"`          // measured window's
	Replayed    *int64   `json:"replayed_uploads"` // the replay's in the same window
	MeasuredMs  *float64 `json:"measured_ms"`      // step_ms_median
	PredictedMs *float64 `json:"predicted_ms"`     // median of the modeled steps
	Error       *float64 `json:"error"`            // predicted / measured - 1
	Why         *string  `json:"why_not"`          // why there is no prediction
}

// Predict replays each row that has a generated routing on c's clock: the same groups
// in the same window, with nothing taken from the row's times.
func Predict(rows []Row, c hardware.Ceilings) []Prediction {
	list := make([]Prediction, len(rows))
	for i := range rows {
		list[i] = newPrediction(&rows[i])
		if err := list[i].predict(&rows[i], c); err != nil {
			list[i].Why = new(err.Error())
		}
	}
	return list
}

func newPrediction(r *Row) Prediction {
	return Prediction{
		Mode: r.Mode, Backend: r.Backend, Device: r.Device, Layers: r.Layers, Experts: r.Experts,
		DModel: r.DModel, DHidden: r.DHidden, TopK: r.TopK, Form: r.Form, DType: r.DType,
		Tokens: r.Tokens, Slots: r.Slots, Policy: r.Policy, Uploads: r.Uploads,
		MeasuredMs: r.StepMsMedian,
	}
}

func (p *Prediction) predict(r *Row, c hardware.Ceilings) error {
	result, err := replay(r, c)
	if err != nil {
		return err
	}
	steps := slices.Sorted(slices.Values(result.Times.Steps))
	p.PredictedMs = new(quantile(steps, 0.5) / 1e6)
	p.Replayed = &result.Stats.Uploads
	p.Error = new(*p.PredictedMs / *r.StepMsMedian - 1)
	return nil
}

// replay runs the measured steps of r on c's clock, or says why it cannot.
func replay(r *Row, c hardware.Ceilings) (sim.Result, error) {
	if r.Status != StatusOK {
		return sim.Result{}, fmt.Errorf("the cell ended with status %s", r.Status)
	}
	if r.Steps == nil || r.StepMsMedian == nil || r.Tokens < 1 || r.Tokens > MaxTokens {
		return sim.Result{}, errors.New("the row has no measured steps")
	}
	if r.Prefetches != nil && *r.Prefetches > 0 {
		return sim.Result{}, errors.New("the row does not tell what prefetched")
	}
	w, err := newWorkload(r)
	if err != nil {
		return sim.Result{}, err
	}
	opts := sim.Options{
		Slots: r.Slots, From: w.from, Tokens: w.tokens, Rows: w.rows, Machine: w.machine(c),
	}
	switch r.Mode {
	case moe.Baseline.String():
		opts.Resident = true
	case moe.Published.String():
		opts.Policy, opts.Order = "lru", pager.Ascending
	case moe.UFM.String():
		if r.Policy != nil {
			opts.Policy = *r.Policy
		}
	default:
		return sim.Result{}, errors.New("not a mode that keeps experts resident")
	}
	return sim.Replay(w.shape.Paging(), w.groups, opts)
}

// workload is what a row's cell ran.
type workload struct {
	shape  moe.Shape
	groups []pager.Group
	tokens []int32 // by group
	rows   []int32 // by expert of a group
	from   int     // first group of the measured window
}

// newWorkload generates the row's routing again.
func newWorkload(r *Row) (*workload, error) {
	form, err := moe.ParseForm(r.Form)
	if err != nil {
		return nil, err
	}
	dtype, err := moe.ParseDType(r.DType)
	if err != nil {
		return nil, err
	}
	w := &workload{shape: moe.Shape{
		Layers: r.Layers, Experts: r.Experts, DModel: r.DModel, DHidden: r.DHidden,
		TopK: r.TopK, Form: form, DType: dtype,
	}}
	routing, err := moe.ParseRouting(r.Routing, w.shape, r.Seed, func(string) (*moe.RoutingTrace, error) {
		return nil, errors.New("the trace is not part of the row")
	})
	if err != nil {
		return nil, fmt.Errorf("routing %s cannot be generated again: %w", r.Routing, err)
	}
	ids := make([]uint32, r.Layers*r.Tokens*r.TopK)
	for step := range warmUpSteps + *r.Steps {
		if step == warmUpSteps {
			w.from = len(w.groups)
		}
		if err := routing.Fill(step, r.Tokens, ids); err != nil {
			return nil, err
		}
		w.add(step, r.Tokens, ids)
	}
	return w, nil
}

// add appends the groups of one step, whose choices are ids (layers, tokens, top_k).
func (w *workload) add(step, tokens int, ids []uint32) {
	shape := w.shape.Paging()
	n := tokens * w.shape.TopK
	phase := pager.Prefill
	if tokens == 1 {
		phase = pager.Decode
	}
	for l := range w.shape.Layers {
		g := pager.Group{Step: step, Layer: l, Phase: phase}
		for i, e := range slices.Sorted(slices.Values(ids[l*n:][:n])) {
			id := shape.ID(l, int(e))
			if i == 0 || id != g.Experts[len(g.Experts)-1] {
				g.Experts, w.rows = append(g.Experts, id), append(w.rows, 0)
			}
			w.rows[len(w.rows)-1]++
		}
		w.groups = append(w.groups, g)
		w.tokens = append(w.tokens, int32(tokens))
	}
}

// machine is the device with the row's experts.
func (w *workload) machine(c hardware.Ceilings) *sim.Machine { return Machine(w.shape, c) }

// Machine is a device that runs experts of shape s, for the simulator's clock.
func Machine(s moe.Shape, c hardware.Ceilings) *sim.Machine {
	return &sim.Machine{
		Device: c, DType: s.DType.String(), DModel: s.DModel,
		ExpertBytes: s.ExpertBytes(), ExpertFlops: s.ExpertFlops(),
	}
}

// WorstPrediction is the largest error, either way, of the cells that page.
func WorstPrediction(list []Prediction) float64 {
	worst := 0.0
	for _, p := range list {
		if p.Error != nil && p.Slots < p.Layers*p.Experts {
			worst = max(worst, math.Abs(*p.Error))
		}
	}
	return worst
}

// predictionColumns are what people look at.
var predictionColumns = []column[Prediction]{
	{"mode", func(p Prediction) string { return p.Mode }, true},
	{"layers", func(p Prediction) string { return integer(p.Layers) }, false},
	{"experts", func(p Prediction) string { return integer(p.Experts) }, false},
	{"d-model", func(p Prediction) string { return integer(p.DModel) }, false},
	{"d-hidden", func(p Prediction) string { return integer(p.DHidden) }, false},
	{"dtype", func(p Prediction) string { return p.DType }, true},
	{"tokens", func(p Prediction) string { return integer(p.Tokens) }, false},
	{"slots", func(p Prediction) string { return integer(p.Slots) }, false},
	{"uploads", func(p Prediction) string { return show(p.Uploads, integer[int64]) }, false},
	{"replayed", func(p Prediction) string { return show(p.Replayed, integer[int64]) }, false},
	{"measured ms", func(p Prediction) string { return show(p.MeasuredMs, figure) }, false},
	{"predicted ms", func(p Prediction) string { return show(p.PredictedMs, figure) }, false},
	{"error", func(p Prediction) string { return show(p.Error, signedPercent) }, false},
	{"why not", func(p Prediction) string { return show(p.Why, same) }, true},
}

func signedPercent(v float64) string { return fmt.Sprintf("%+.1f %%", 100*v) }

// WritePredictions writes predictions as Write does rows.
func WritePredictions(w io.Writer, format string, list []Prediction) error {
	return write(w, format, predictionColumns, list)
}
