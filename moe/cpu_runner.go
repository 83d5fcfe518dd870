package moe

import (
	"context"
	"errors"
	"fmt"
	"math"

	"ufm/pager"
)

// cpuRunner runs steps on the CPU. Its buffers are all taken when it is made.
type cpuRunner struct {
	backend  *cpuBackend
	cfg      RunConfig
	pool     *cpuPool
	place    *Placement
	delivery delivery
	experts  *cpuExperts
	gates    [][]float32 // (layers)(experts, d_model)
	bytes    int64       // of device memory
	attached bool
	// ahead is called when a group's copies have begun, to prefetch; it may be nil.
	ahead func(b *Batch, layer int) error

	given   []float32        // the last batch's input, as long as it was
	input   []float32        // (max tokens, d_model padded): of this layer
	output  []float32        // (max tokens, d_model)
	ids     []uint32         // (max tokens, top_k)
	weights []float32        // (max tokens, top_k)
	group   []pager.ExpertID // experts in use in this layer
}

func (b *cpuBackend) NewRunner(cfg RunConfig) (Runner, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	r, err := b.newRunner(cfg, 0, fmt.Sprintf("mode %s with %d slots and %d tokens",
		cfg.Mode, cfg.Slots, cfg.MaxTokens))
	if err != nil {
		return nil, err // and not a nil runner in an interface that is not
	}
	return r, nil
}

// newRunner makes a runner that takes more bytes than it needs itself. what is what
// they are for.
func (b *cpuBackend) newRunner(cfg RunConfig, more float64, what string) (*cpuRunner, error) {
	background := newOverlap()
	place, err := NewPlacement(cfg, background)
	if err != nil {
		return nil, err
	}
	slots, l := place.Slots(), NewLayout(cfg.Shape)
	bytes, err := b.take(float64(slots)*float64(l.Bytes)+workBytes(cfg, b.threads)+more, what)
	if err != nil {
		return nil, err
	}
	s := cfg.Shape
	r := &cpuRunner{
		backend:  b,
		cfg:      cfg,
		place:    place,
		delivery: background,
		pool:     newCPUPool(s, slots, cfg.Poison),
		experts:  newCPUExperts(s, cfg.MaxTokens, b.threads, b.kernels),
		bytes:    bytes,
		given:    make([]float32, 0, cfg.MaxTokens*s.DModel),
		input:    make([]float32, cfg.MaxTokens*l.In),
		output:   make([]float32, cfg.MaxTokens*s.DModel),
		ids:      make([]uint32, cfg.MaxTokens*s.TopK),
		weights:  make([]float32, cfg.MaxTokens*s.TopK),
		group:    make([]pager.ExpertID, 0, s.Experts),
	}
	background.use(r.pool, slots, b.threads)
	if cfg.Mode == Naive || cfg.Mode == Published {
		r.delivery = newSerial(r.pool, cfg.Mode)
	}
	return r, nil
}

func (cfg *RunConfig) validate() error {
	errs := []error{cfg.Shape.Validate()}
	if cfg.Mode > UFM {
		errs = append(errs, fmt.Errorf("moe: unknown mode %d", cfg.Mode))
	}
	if cfg.Slots < 1 && (cfg.Mode == Published || cfg.Mode == UFM) {
		errs = append(errs, fmt.Errorf("moe: pool of %d slots: at least 1 is needed", cfg.Slots))
	}
	if most := math.MaxInt32 / max(cfg.Shape.TopK, 1); cfg.MaxTokens < 1 || cfg.MaxTokens > most {
		errs = append(errs, fmt.Errorf("moe: steps of at most %d tokens: must lie between 1 and %d",
			cfg.MaxTokens, most))
	}
	return errors.Join(errs...)
}

// workBytes is what a runner takes beside its slots: gates and activations. As a float64
// it cannot overflow.
func workBytes(cfg RunConfig, threads int) float64 {
	s, l := cfg.Shape, NewLayout(cfg.Shape)
	tokens, pairs := float64(cfg.MaxTokens), float64(cfg.MaxTokens)*float64(s.TopK)
	rows := tokens * float64(l.In+2*s.DModel)
	rows += pairs * float64(2*l.In+l.Hidden+4)
	scratch := float64(threads) * tokens * float64(2*scratchWidth(l))
	gates := float64(s.Layers) * float64(s.Experts) * float64(s.DModel)
	return 4 * (rows + scratch + gates)
}

// take books memory or tells that there is not enough.
func (b *cpuBackend) take(bytes float64, what string) (int64, error) {
	need := int64(min(bytes, math.MaxInt64/2))
	if free, known := b.free(need); known && need > free || need == math.MaxInt64/2 {
		return 0, &OutOfMemoryError{What: what, Requested: need, Free: free}
	}
	b.used += need
	return need, nil
}

func (r *cpuRunner) Attach(ctx context.Context, b Bank) error {
	bank, ok := b.(*cpuBank)
	if !ok {
		return fmt.Errorf("moe: bank of type %T was not made by the cpu backend", b)
	}
	if got, want := bank.model.Shape(), r.cfg.Shape; got != want {
		return fmt.Errorf("moe: bank of shape %+v does not fit a runner of %+v", got, want)
	}
	if r.attached {
		return errors.New("moe: runner has a bank already")
	}
	for l := range r.cfg.Shape.Layers {
		if err := ctx.Err(); err != nil {
			return err
		}
		gate, err := bank.model.Router(l)
		if err != nil {
			return fmt.Errorf("moe: router of layer %d: %w", l, err)
		}
		r.gates = append(r.gates, gate)
	}
	r.pool.bank = bank
	if r.cfg.Mode == Baseline {
		if err := r.uploadAll(ctx); err != nil {
			return err
		}
	}
	r.attached = true
	return nil
}

// uploadAll puts each expert into the slot of its id.
func (r *cpuRunner) uploadAll(ctx context.Context) error {
	each(r.experts.workers, r.place.Slots(), func(_ *cpuWorker, e int) {
		if ctx.Err() == nil {
			r.pool.upload(pager.ExpertID(e), pager.Slot(e))
		}
	})
	return ctx.Err()
}

func (r *cpuRunner) Stats() pager.Stats { return r.place.Stats() }

func (r *cpuRunner) Moved() int64 { return r.pool.moved.Load() }

func (r *cpuRunner) DeviceBytes() int64 { return r.bytes }

func (r *cpuRunner) Close() error {
	if r.backend != nil {
		r.delivery.close()
		r.backend.used -= r.bytes
		r.backend, r.attached = nil, false
		r.experts, r.delivery, r.pool.memory, r.pool.bank = nil, nil, nil, nil
	}
	return nil
}
