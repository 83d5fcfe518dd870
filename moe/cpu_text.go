package moe

import (
	"context"
	"errors"
	"fmt"
	"math"

	"ufm/internal/kernel"
	"ufm/pager"
)

// cpuText runs a whole model on the CPU. Its MoE layers are a cpuRunner's. What it
// computes for a token depends neither on how the sequence is cut into batches, nor on
// the number of threads, nor on where experts are: not in one bit.
type cpuText struct {
	cfg    TextConfig
	config Config
	model  TextModel
	moe    *cpuRunner
	dense  cpuDense
	cache  []kvCache // (layers)
	turns  []float32 // (context, head_dim / 2, 2): cos and sin of a position's angles
	length int       // of the sequence

	pledged int64 // of the host's memory, by weights that are not there yet

	workers []*textWorker
	x       []float32 // (max tokens, d_model): the residual stream
	packed  []float32 // (max tokens, widest input of a matrix): what the next product reads
	query   []float32 // (max tokens, heads × head_dim)
	key     []float32 // (max tokens, kv_heads × head_dim)
	value   []float32 // (max tokens, kv_heads × head_dim)
	heads   []float32 // (max tokens, heads × head_dim): what attention makes of value
	product []float32 // (max tokens, d_model): of the output projection

	guess        []uint32         // (max tokens, top_k): the next layer's gate's choice
	guessWeights []float32        // (max tokens, top_k)
	wanted       []pager.ExpertID // to be prefetched
	predicted    []uint32         // where the batch wants the guesses, or nil
	prefetch     bool             // in this batch
}

// textWorker is one goroutine's scratch memory.
type textWorker struct {
	acc    []float32 // (most rows, a tile's stride): what a product adds up
	query  []float32 // (head_dim padded / 8, rows of a block, 8)
	scores []float32 // (context padded / 8, rows of a block, 8)
	logits []float32 // (experts): the gate's
}

func (b *cpuBackend) NewTextRunner(cfg TextConfig, m TextModel) (TextRunner, error) {
	c := m.Config()
	if err := cfg.Validate(m); err != nil {
		return nil, err
	}
	more := 0.0
	for _, bytes := range textBytes(cfg, m, b.threads) {
		more += bytes
	}
	moe, err := b.newRunner(cfg.Run, more, fmt.Sprintf("%s with %d slots and a context of %d",
		m.Name(), cfg.Run.Slots, cfg.Context))
	if err != nil {
		return nil, err
	}
	s, tokens := textSizes(c), cfg.Run.MaxTokens
	r := &cpuText{
		cfg: cfg, config: c, model: m, moe: moe,
		turns:   newTurns(c, cfg.Context),
		x:       make([]float32, tokens*c.DModel),
		packed:  make([]float32, tokens*s.widest),
		query:   make([]float32, tokens*s.query),
		key:     make([]float32, tokens*s.key),
		value:   make([]float32, tokens*s.key),
		heads:   make([]float32, tokens*s.query),
		product: make([]float32, tokens*c.DModel),

		guess:        make([]uint32, tokens*c.TopK),
		guessWeights: make([]float32, tokens*c.TopK),
		wanted:       make([]pager.ExpertID, 0, c.Experts),
	}
	for range c.Layers {
		r.cache = append(r.cache, newKVCache(c, cfg.Context))
	}
	rows := attentionRows(c, cfg.Context)
	for range b.threads {
		r.workers = append(r.workers, &textWorker{
			acc:    make([]float32, max(tokens, rows)*kernel.Stride(kernel.TileOut)),
			query:  make([]float32, rows*pad(c.HeadDim)),
			scores: make([]float32, rows*pad(cfg.Context)),
			logits: make([]float32, c.Experts),
		})
	}
	moe.ahead = r.ahead
	r.pledged = int64(denseBytes(m))
	b.pledged += r.pledged
	return r, nil
}

// Validate tells what is wrong with cfg for a runner of model m.
func (cfg TextConfig) Validate(m TextModel) error {
	errs := []error{cfg.Run.validate()}
	if got, want := cfg.Run.Shape, m.Shape(); got != want {
		errs = append(errs, fmt.Errorf("moe: a runner of shape %+v does not fit %s, which has %+v",
			got, m.Name(), want))
	}
	if cfg.Run.Mode != Baseline && cfg.Run.Mode != UFM {
		errs = append(errs, fmt.Errorf("moe: whole models run in mode baseline or ufm, not %s",
			cfg.Run.Mode))
	}
	if cfg.Context < 1 || cfg.Context > math.MaxInt32 {
		errs = append(errs, fmt.Errorf("moe: context of %d tokens: must lie between 1 and %d",
			cfg.Context, math.MaxInt32))
	}
	if cfg.Logits < 0 || cfg.Logits > cfg.Run.MaxTokens {
		errs = append(errs, fmt.Errorf(
			"moe: logits of %d tokens: must lie between 0 and the %d of a batch",
			cfg.Logits, cfg.Run.MaxTokens))
	}
	return errors.Join(errs...)
}

// rowSizes are the lengths of one token's rows.
type rowSizes struct {
	query, key int // all heads
	widest     int // what a product reads, padded
}

func textSizes(c Config) rowSizes {
	s := rowSizes{query: c.Heads * c.HeadDim, key: c.KVHeads * c.HeadDim}
	s.widest = max(pad(c.DModel), pad(s.query))
	return s
}

// The parts of the memory table.
const (
	denseMemory = iota
	cacheMemory
	activationMemory
)

// textBytes is what a runner takes by part, besides slots and what workBytes counts. As
// float64s they cannot overflow.
func textBytes(cfg TextConfig, m TextModel, threads int) (bytes [3]float64) {
	c, s := m.Config(), textSizes(m.Config())
	tokens, context := float64(cfg.Run.MaxTokens), float64(pad(cfg.Context))
	bytes[denseMemory] = denseBytes(m)
	bytes[cacheMemory] = float64(c.Layers) * kvBytes(c, cfg.Context)
	rows := float64(attentionRows(c, cfg.Context))
	worker := max(tokens, rows)*float64(kernel.Stride(kernel.TileOut)) +
		rows*(float64(pad(c.HeadDim))+context) + float64(c.Experts)
	values := tokens * float64(2*c.DModel+s.widest+2*s.query+2*s.key+2*c.TopK)
	values += context*float64(c.HeadDim) + float64(threads)*worker
	bytes[activationMemory] = 4 * values
	return bytes
}

func (b *cpuBackend) TextMemory(cfg TextConfig, m TextModel) []MemoryPart {
	bytes := textBytes(cfg, m, b.threads)
	bytes[activationMemory] += workBytes(cfg.Run, b.threads)
	part := func(what string, i int) MemoryPart {
		return MemoryPart{What: what, Bytes: int64(min(bytes[i], math.MaxInt64/8))}
	}
	return []MemoryPart{
		part("dense weights", denseMemory),
		part(fmt.Sprintf("KV cache of %d tokens", cfg.Context), cacheMemory),
		part("routers and activations", activationMemory),
	}
}

func (r *cpuText) Attach(ctx context.Context, b Bank) error {
	if b.Model() != Model(r.model) {
		return fmt.Errorf("moe: bank of model %s is not of the runner's %s",
			b.Model().Name(), r.model.Name())
	}
	if err := r.moe.Attach(ctx, b); err != nil {
		return err
	}
	if err := r.dense.read(ctx, r.model, r.workers); err != nil {
		return err
	}
	r.redeem()
	return nil
}

// redeem ends the pledge: the weights are there, or will not come.
func (r *cpuText) redeem() {
	if r.moe.backend != nil {
		r.moe.backend.pledged -= r.pledged
		r.pledged = 0
	}
}

func (r *cpuText) Reset() {
	for _, c := range r.cache {
		c.forget(r.length)
	}
	r.length = 0
}

func (r *cpuText) Position() int { return r.length }

func (r *cpuText) Stats() pager.Stats { return r.moe.Stats() }

func (r *cpuText) Moved() int64 { return r.moe.Moved() }

func (r *cpuText) DeviceBytes() int64 { return r.moe.DeviceBytes() }

func (r *cpuText) Close() error {
	r.redeem()
	r.cache, r.dense = nil, cpuDense{}
	return r.moe.Close()
}

var _ TextBackend = (*cpuBackend)(nil)
