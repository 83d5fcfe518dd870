package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"ufm/internal/hardware"
	"ufm/moe"
	"ufm/moe/generate"
	"ufm/pager"
)

// TextSpec says how a whole model's speed is measured: a random prompt is read and
// continued, at each budget.
type TextSpec struct {
	Model        moe.TextModel
	Budgets      []Budget
	MemoryLimit  int64        // as in Spec
	Routing      *moe.Routing // of decode; nil: the routers decide
	Policy       string
	Prefetch     generate.Prefetch
	PromptTokens int
	MaxTokens    int
	Chunk        int // as in generate.Options
	Seed         uint64
	Ceilings     hardware.Ceilings
}

// warmUpTokens are decoded after a prompt before anything is measured: enough for
// automatic prefetching to be settled.
const warmUpTokens = 40

// RunText measures every budget of spec, with one bank for all, and returns two rows for
// each: prefill and decode. What fails with a budget is the status of its rows. What no
// budget could do without is an error; the rows finished until then come with it.
func RunText(
	ctx context.Context, b moe.TextBackend, spec TextSpec, o Observer,
) (rows []TextRow, err error) {
	if err := spec.validate(); err != nil {
		return nil, err
	}
	if o == nil {
		o = silent{}
	}
	j := &textJob{TextSpec: spec, backend: b, observer: o, env: newEnvironment(time.Now(), "")}
	defer func() { err = errors.Join(err, j.close()) }()
	for _, budget := range spec.Budgets {
		two, err := j.run(ctx, budget)
		if err != nil {
			return rows, err
		}
		rows = append(rows, two...)
		for _, r := range two {
			j.observer.Note(r.note())
		}
	}
	return rows, nil
}

func (s *TextSpec) validate() error {
	var errs []error
	if len(s.Budgets) == 0 {
		errs = append(errs, errors.New("bench: no budget to measure"))
	}
	if s.PromptTokens < 1 || s.MaxTokens < 2 {
		errs = append(errs, fmt.Errorf("bench: prompt of %d tokens, answer of %d: "+
			"must be at least 1 and 2", s.PromptTokens, s.MaxTokens))
	}
	return errors.Join(errs...)
}

// textJob is what the budgets of a TextSpec share.
type textJob struct {
	TextSpec
	backend  moe.TextBackend
	observer Observer
	env      environment
	held     moe.Bank
}

func (j *textJob) close() error {
	if j.held == nil {
		return nil
	}
	return j.held.Close()
}

// textCell is one budget on its way to its rows.
type textCell struct {
	*textJob
	slots    int
	requests requests
	steps    map[pager.Phase][]moe.StepTimes // measured
	tokens   map[pager.Phase][]int           // of those steps
	report   *generate.Report
	policy   string
	peak     int64
	nvml     *int64
}

func (j *textJob) run(ctx context.Context, budget Budget) ([]TextRow, error) {
	c := &textCell{textJob: j,
		steps: map[pager.Phase][]moe.StepTimes{}, tokens: map[pager.Phase][]int{}}
	err := c.measure(ctx, budget)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var bank errBank
	if errors.As(err, &bank) {
		return nil, bank.error
	}
	rows := []TextRow{c.row(pager.Prefill), c.row(pager.Decode)}
	if err == nil {
		err = c.complete(rows)
	}
	var memory *MemoryError
	for i := range rows {
		rows[i].fail(err)
		if errors.As(err, &memory) {
			rows[i].Status = StatusOOM
		}
	}
	return rows, nil
}

// measure runs a warm-up and what is measured.
func (c *textCell) measure(ctx context.Context, budget Budget) (err error) {
	opts := generate.Options{
		Context: c.PromptTokens + max(c.MaxTokens, warmUpTokens), Chunk: c.Chunk, Policy: c.Policy,
		Prefetch: c.Prefetch, LinkGBs: c.Ceilings.LinkGBs, Seed: c.Seed,
		Routing: c.Routing, Observe: c.requests.observe,
	}
	cfg, err := opts.Config(c.Model)
	if err != nil {
		return err
	}
	plan, err := PlanMemory(c.backend, c.Model, cfg, budget, c.MemoryLimit)
	if err != nil {
		return err
	}
	c.slots, opts.Slots = plan.Slots, plan.Slots
	opts.Resident = c.resident()
	s, err := generate.New(c.backend, c.Model, opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	bank, err := c.bank(ctx)
	if err != nil {
		return err
	}
	if err := s.Attach(ctx, bank); err != nil {
		return err
	}
	c.policy = s.Policy()
	warm := c.request(c.Seed+1, warmUpTokens)
	if _, err := s.Generate(ctx, warm, nil); err != nil {
		return err
	}
	measured := c.request(c.Seed, c.MaxTokens)
	measured.Step = func(p pager.Phase, tokens int, t moe.StepTimes) {
		c.steps[p], c.tokens[p] = append(c.steps[p], t), append(c.tokens[p], tokens)
	}
	c.report, err = s.Generate(ctx, measured, nil)
	c.peak, c.nvml = s.DeviceBytes(), processMemory()
	return err
}

// resident tells whether all experts fit: then they are there before the first token.
func (c *textCell) resident() bool { return c.slots == c.Model.Shape().Paging().Universe() }

// request asks for the continuation of a random prompt.
func (c *textCell) request(seed uint64, tokens int) generate.Request {
	random := rand.New(rand.NewPCG(seed, 0))
	prompt := make([]int32, c.PromptTokens)
	for i := range prompt {
		prompt[i] = random.Int32N(int32(c.Model.Config().Vocab))
	}
	return generate.Request{Prompt: prompt, MaxTokens: tokens}
}

// bank is built once, when the first budget has its device memory.
func (c *textCell) bank(ctx context.Context) (moe.Bank, error) {
	if c.held != nil {
		return c.held, nil
	}
	bank, err := BuildBank(ctx, c.backend, c.Model, c.observer)
	if err != nil {
		return nil, errBank{err}
	}
	c.held = bank
	return bank, nil
}

// row is what is known of a phase before anything has run.
func (c *textCell) row(p pager.Phase) TextRow {
	s, d := c.Model.Shape(), c.backend.Device()
	routing := "router"
	if c.Routing != nil && p == pager.Decode {
		routing = c.Routing.String()
	}
	dense, _ := denseOf(c.Model)
	r := TextRow{DenseBytes: dense.bytes, Prefetch: c.Prefetch.String(), Row: Row{
		Schema: RowSchema, RunID: c.env.runID, TimeUTC: c.env.timeUTC, Commit: c.env.commit,
		Mode: moe.UFM.String(), Backend: c.backend.Name(), Device: d.Name, Driver: d.Driver,
		Status: StatusOK, Kind: Measured,
		Model: c.Model.Name(), Layers: s.Layers, Experts: s.Experts, DModel: s.DModel,
		DHidden: s.DHidden, TopK: s.TopK, Form: s.Form.String(), DType: s.DType.String(),
		Routing: routing, Seed: c.Seed, Phase: p.String(),
		BankBytes: s.BankBytes(), Slots: c.slots, BudgetBytes: int64(c.slots) * s.ExpertBytes(),
	}}
	if c.resident() {
		r.Mode = moe.Baseline.String()
	} else if c.policy != "" {
		r.Policy = &c.policy
	}
	return r
}

// note is a line for people who wait.
func (r TextRow) note() string {
	line := fmt.Sprintf("%s with %d slots: %s", r.Phase, r.Slots, r.Status)
	if r.TokensPerS != nil {
		line += fmt.Sprintf(", %.4g tokens/s", *r.TokensPerS)
	}
	return line
}

// complete accounts for both phases.
func (c *textCell) complete(rows []TextRow) error {
	uploads := make([]int64, len(c.requests.groups))
	if !c.resident() {
		var err error
		uploads, err = fewestUploads(c.Model.Shape().Paging(), c.slots, c.requests.groups)
		if err != nil {
			return err
		}
	}
	for i, p := range []pager.Phase{pager.Prefill, pager.Decode} {
		account := c.report.Prefill
		if p == pager.Decode {
			account = c.report.Decode
		}
		c.count(&rows[i], account)
		c.time(&rows[i], account, c.steps[p])
		c.limit(&rows[i], p, uploads)
	}
	return nil
}

func (c *textCell) count(r *TextRow, a generate.Phase) {
	r.Tokens, r.Steps, r.Prefetch = a.Tokens, &a.Steps, c.report.Prefetch
	r.Hits, r.LateHits, r.Misses, r.Uploads = &a.Hits, &a.LateHits, &a.Misses, &a.Uploads
	r.UploadBytes = new(a.Uploads * c.Model.Shape().ExpertBytes())
	r.Prefetches, r.PrefetchUsed, r.PrefetchWasted = &a.Prefetches, &a.PrefetchUsed, &a.PrefetchWasted
	r.HitRate, r.BytesPerToken = a.HitRate, a.BytesPerToken
	r.PeakDeviceBytes, r.NVMLBytes, r.HostBytes = &c.peak, c.nvml, new(c.held.HostBytes())
}

func (c *textCell) time(r *TextRow, a generate.Phase, steps []moe.StepTimes) {
	w := window{steps: steps}
	ms := w.times()
	if len(ms) == 0 {
		return
	}
	n, total := float64(len(ms)), w.total()
	r.StepMsMedian, r.StepMsP10 = new(quantile(ms, 0.5)), new(quantile(ms, 0.1))
	r.StepMsP90, r.StepMsMean = new(quantile(ms, 0.9)), new(a.Ms/n)
	r.TokensPerS = a.TokensPerS
	if total.Timed {
		r.ComputeMs, r.UploadMs = new(milliseconds(total.Compute)/n), new(milliseconds(total.Upload)/n)
		r.StallMs = new(milliseconds(total.Stall) / n)
	}
	if total.Submits > 0 {
		r.Submits, r.Waits = new(float64(total.Submits)/n), new(float64(total.Waits)/n)
	}
}

// limit compares a phase with what the ceilings allow and with the fewest uploads.
func (c *textCell) limit(r *TextRow, p pager.Phase, uploads []int64) {
	tokens := c.measuredSteps(p)
	demands, best := demandsOfPhase(c.Model, c.requests.groups, uploads, tokens, p)
	r.BeladyUploads = &best
	ceilings := ceilingsFor(c.Ceilings, c.backend.Device(), c.Model.Shape(), false)
	l := newLimit(ceilings, len(tokens), demands)
	if l == nil || r.StepMsMean == nil || *r.StepMsMean <= 0 {
		return
	}
	r.LimitMs, r.LimitBy, r.ChainMs = &l.ms, &l.by, &l.chain
	r.LimitFraction = new(l.ms / *r.StepMsMean)
	r.ChainFraction = new(l.chain / *r.StepMsMean)
	moved := *r.BytesPerToken * float64(r.Tokens)
	r.LinkFraction = new(moved / (c.Ceilings.LinkGBs * 1e6 * *r.StepMsMean * float64(*r.Steps)))
}

// measuredSteps are the last steps of a phase, with their tokens.
func (c *textCell) measuredSteps(p pager.Phase) map[int]int {
	var steps []int
	for _, g := range c.requests.groups {
		if g.Phase == p && (len(steps) == 0 || steps[len(steps)-1] != g.Step) {
			steps = append(steps, g.Step)
		}
	}
	tokens, sizes := map[int]int{}, c.tokens[p]
	for i, step := range steps[len(steps)-len(sizes):] {
		tokens[step] = sizes[i]
	}
	return tokens
}
