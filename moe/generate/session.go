package generate

import (
	"context"
	"errors"
	"fmt"
	"io"

	"ufm/moe"
	"ufm/pager"
)

// Options says how a Session runs.
type Options struct {
	Context  int      // most tokens of prompt and answer
	Chunk    int      // most tokens of a prefill step; 0: DefaultChunk
	Slots    int      // experts on the device, at most all
	Resident bool     // all experts are uploaded before the first token, whatever Slots says
	Policy   string   // what evicts; "": pager.DefaultPolicy
	Prefetch Prefetch // of the next layer's experts
	LinkGBs  float64  // rate of the link, by which PrefetchAuto decides; 0: unknown
	Score    bool     // Perplexity will be asked for
	Seed     uint64   // told to the event log
	// Events receives the event log, TraceOut, at Close, the trace of all tokens. Nil:
	// neither.
	Events, TraceOut io.Writer
	// Routing replaces the routers' choice in decode. Nil: the routers decide.
	Routing *moe.Routing
	Observe func(*pager.Event) // called for each group; may be nil
}

// DefaultChunk is how many tokens a prefill step has unless told otherwise.
const DefaultChunk = 512

// scoredValues bounds the logits of a scored step, for vocabularies may be large.
const scoredValues = 1 << 24

// Config is what a runner is made for, and what its memory is planned by.
func (o Options) Config(m moe.TextModel) (moe.TextConfig, error) {
	c, chunk := m.Config(), o.Chunk
	if chunk == 0 {
		chunk = DefaultChunk
	}
	if o.Context < 1 || chunk < 1 {
		return moe.TextConfig{}, fmt.Errorf("generate: context %d and chunk %d: must be at least 1",
			o.Context, chunk)
	}
	if c.MaxPositions > 0 && o.Context > c.MaxPositions {
		return moe.TextConfig{}, fmt.Errorf("generate: a context of %d tokens is beyond the %d "+
			"positions that the model knows", o.Context, c.MaxPositions)
	}
	cfg := moe.TextConfig{
		Context: o.Context, Prefetch: o.Prefetch != PrefetchOff, Logits: 1,
		Run: moe.RunConfig{
			Shape: m.Shape(), Mode: moe.UFM, MaxTokens: min(chunk, o.Context),
			Slots: min(o.Slots, m.Shape().Paging().Universe()),
		},
	}
	if o.Resident {
		cfg.Run.Mode, cfg.Run.Slots, cfg.Prefetch = moe.Baseline, m.Shape().Paging().Universe(), false
	}
	if o.Score {
		cfg.Run.MaxTokens = max(1, min(cfg.Run.MaxTokens, scoredValues/c.Vocab))
		cfg.Logits = cfg.Run.MaxTokens
	}
	return cfg, nil
}

// Session is a model on a device, ready to run sequences.
type Session struct {
	model    moe.TextModel
	backend  string
	device   moe.Device
	runner   moe.TextRunner
	cfg      moe.TextConfig
	opts     Options
	policy   string // with its parameters
	step     int
	decoded  int            // decode steps so far
	routed   [2]routed      // of decode steps in turns, where Options.Routing decides
	follows  bool           // the runner has followed a token
	coming   *moe.TextBatch // the decode step that it may have begun with; nil: none
	prefetch prefetchSwitch
	recorder *recorder  // nil: no trace is asked for
	log      *pager.Log // nil: no event log is
	closed   bool
}

// New takes the device memory of a session. Attach makes it ready.
func New(b moe.TextBackend, m moe.TextModel, opts Options) (*Session, error) {
	cfg, err := opts.Config(m)
	if err != nil {
		return nil, err
	}
	name := opts.Policy
	if name == "" {
		name = pager.DefaultPolicy
	}
	shape := m.Shape().Paging()
	policy, err := pager.NewPolicy(name, shape, cfg.Run.Slots)
	if err != nil {
		return nil, fmt.Errorf("generate: %w", err)
	}
	if !opts.Resident {
		cfg.Run.Policy = policy
	}
	s := &Session{model: m, backend: b.Name(), device: b.Device(), cfg: cfg, opts: opts,
		policy:   policy.Name(),
		prefetch: newPrefetchSwitch(opts, m.Shape(), b.Device())}
	if opts.Events != nil {
		s.log = pager.NewLog(opts.Events, pager.LogHeader{
			Shape: shape, Policy: s.policy, Slots: cfg.Run.Slots,
			Order: pager.ResidentFirst.String(), Seed: opts.Seed,
		})
	}
	cfg.Run.Observe = s.observer()
	if opts.TraceOut != nil {
		s.recorder = newRecorder(m)
	}
	if s.runner, err = b.NewTextRunner(cfg, m); err != nil {
		return nil, err
	}
	return s, nil
}

// observer tells of each group whoever asked for it, or is nil.
func (s *Session) observer() func(*pager.Event) {
	switch log, observe := s.log, s.opts.Observe; {
	case log == nil:
		return observe
	case observe == nil:
		return log.Observe
	default:
		return func(e *pager.Event) { log.Observe(e); observe(e) }
	}
}

// Attach uploads what stays on the device. The bank must be of the session's model.
func (s *Session) Attach(ctx context.Context, bank moe.Bank) error {
	return s.runner.Attach(ctx, bank)
}

// Policy is what evicts, with its parameters.
func (s *Session) Policy() string { return s.policy }

// DeviceBytes is the most device memory taken so far.
func (s *Session) DeviceBytes() int64 { return s.runner.DeviceBytes() }

// Close writes what is left of event log and trace and gives the memory back.
func (s *Session) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	var errs []error
	if s.log != nil {
		errs = append(errs, s.log.Close())
	}
	if s.recorder != nil {
		errs = append(errs, s.recorder.write(s.opts.TraceOut))
	}
	return errors.Join(append(errs, s.runner.Close())...)
}

// report starts an account of what r asks for.
func (s *Session) report(r Request) *Report {
	return &Report{
		PromptIDs: r.Prompt, OutputIDs: []int32{},
		Model: s.model.Name(), Backend: s.backend, Device: s.device.Name, Driver: s.device.Driver,
		Policy: s.policy, Slots: s.cfg.Run.Slots, Context: s.cfg.Context,
		BudgetBytes: int64(s.cfg.Run.Slots) * s.model.Shape().ExpertBytes(),
	}
}

// forward appends ids, at most a chunk, to the sequence. logits are of the last tokens.
func (s *Session) forward(
	ctx context.Context, p pager.Phase, ids []int32, logits []float32,
) (moe.StepTimes, error) {
	s.coming = nil
	b := moe.TextBatch{
		Step: s.step, Phase: p, IDs: ids, Logits: logits,
		NoPrefetch: !s.prefetch.now(p, len(ids)),
	}
	if s.recorder != nil {
		s.recorder.prepare(&b)
	}
	if p == pager.Decode {
		if err := s.route(&b, s.decoded); err != nil {
			return moe.StepTimes{}, err
		}
	}
	before := s.runner.Stats()
	times, err := s.runner.Forward(ctx, &b)
	if err != nil {
		return times, err
	}
	if s.prefetch.isWide(p, len(ids)) {
		used := s.runner.Stats().Sub(before)
		s.prefetch.tookWide(used.Prefetches, used.PrefetchUsed)
	}
	s.stepped(p)
	if s.recorder != nil {
		s.recorder.add(&b)
	}
	return times, nil
}

// stepped counts a step that has run.
func (s *Session) stepped(p pager.Phase) {
	s.step++
	if p == pager.Decode {
		s.decoded++
	}
}

// follow is forward for a decoded token, and returns the likeliest after it. If more is said, that
// will be run next, and the runner may begin with it. The error is errors.ErrUnsupported where
// forward is to be asked instead.
func (s *Session) follow(ctx context.Context, id int32, more bool) (int32, moe.StepTimes, error) {
	f, ok := s.runner.(moe.TextFollower)
	if !ok || s.recorder != nil || s.cfg.Run.Slots < s.model.Shape().Paging().Universe() {
		return 0, moe.StepTimes{}, errors.ErrUnsupported
	}
	b := s.coming
	s.coming = nil
	var err error
	if b == nil {
		if b, err = s.decodeStep(0); err != nil {
			return 0, moe.StepTimes{}, err
		}
	}
	if more && s.follows {
		if s.coming, err = s.decodeStep(1); err != nil {
			return 0, moe.StepTimes{}, err
		}
	}
	b.IDs[0] = id
	likeliest, times, err := f.Follow(ctx, b, s.coming)
	if err == nil {
		s.follows = true
		s.stepped(pager.Decode)
	}
	return likeliest, times, err
}

// decodeStep is the decode step after so many others.
func (s *Session) decodeStep(after int) (*moe.TextBatch, error) {
	b := &moe.TextBatch{Step: s.step + after, Phase: pager.Decode, IDs: make([]int32, 1)}
	return b, s.route(b, s.decoded+after)
}

// routed is a choice of experts for one decode step.
type routed struct {
	ids  []uint32 // (layers, 1, top_k); nil: none yet
	step int
}

// route lets Options.Routing, if there is one, choose for decode step i.
func (s *Session) route(b *moe.TextBatch, i int) error {
	if s.opts.Routing == nil {
		return nil
	}
	r := &s.routed[i%len(s.routed)]
	if r.ids == nil {
		shape := s.model.Shape()
		r.ids, r.step = make([]uint32, shape.Layers*shape.TopK), -1
	}
	if r.step != i {
		if err := s.opts.Routing.Fill(i, 1, r.ids); err != nil {
			return err
		}
		r.step = i
	}
	b.Routing = r.ids
	return nil
}
