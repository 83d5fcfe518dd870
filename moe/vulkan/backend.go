//go:build cgo && linux

package vulkan

import (
	"errors"
	"fmt"

	"ufm/moe"
	"ufm/vk"
)

// backend is a Vulkan device as moe sees it. Runners of one shape share its kernels:
// compiling them takes longer than most runs.
type backend struct {
	device   *vk.Device
	matrices bool // it runs matrix.comp
	kernels  map[kernelKey]*kernels
	texts    map[textKey]*textKernels
	stuck    bool // the device outlasted a Close: it may still use everything

	together   int   // of a token's workgroups, or apart, whatever was found out; 0: what was
	hold       Hold  // see Options; never Best
	anyHold    bool  // it was Best: what is not imported may be the driver's
	pinLimit   int64 // likewise
	blockBytes int64 // of a bank, in one allocation
	stageBytes int64 // of a staging buffer
}

type kernelKey struct {
	shape     moe.Shape
	maxTokens int
	exact     bool
}

// Open opens a device. Errors are those of vk.Open.
func Open(o Options) (moe.Backend, error) {
	d, err := vk.Open(vk.Options{
		Device:      o.Device,
		MemoryLimit: o.MemoryLimit,
		SingleQueue: o.SingleQueue,
		Validation:  o.Validation,
	})
	if err != nil {
		return nil, err
	}
	b := &backend{
		device: d, kernels: map[kernelKey]*kernels{}, texts: map[textKey]*textKernels{},
		hold: o.Bank, pinLimit: o.PinLimit, blockBytes: blockBytes, stageBytes: stageBytes,
	}
	if b.hold == Best {
		b.hold, b.anyHold = bestHold(d), true
	}
	if b.matrices, err = runsMatrices(d); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return b, nil
}

// Name is "vulkan".
func (b *backend) Name() string { return "vulkan" }

// Device describes what the backend runs on.
func (b *backend) Device() moe.Device {
	info := b.device.Info()
	d := moe.Device{
		Name: info.Name, Driver: info.Driver, Unified: info.Unified,
		MemBytes: b.device.DeviceMemoryFree(), MatrixUnits: b.matrices,
	}
	if d.MatrixUnits {
		d.RoundedRows = minRounded
	}
	return d
}

// errStuck tells that a device never finished what it was given.
var errStuck = errors.New("vulkan: the device is still at work on an earlier step")

// WorkBytes is the device memory that a runner takes besides its pool. Where the host's
// memory is the device's, its part counts too, with what a captured step takes.
func (b *backend) WorkBytes(s moe.Shape, tokens int) int64 {
	m := countMemory(s, tokens, b.matrices, newTuning(b.device.Info()))
	if b.device.Info().Unified {
		return m.local + m.host
	}
	return m.local
}

// countMemory is a runner's memory without a device: only its sizes are there.
func countMemory(s moe.Shape, tokens int, matrices bool, t tuning) *memory {
	m := &memory{parts: matrices, tuning: t}
	m.take(moe.RunConfig{Shape: s, MaxTokens: tokens}, s.Layers)
	_ = m.capture(s, tokens) // which cannot fail: nothing is allocated
	return m
}

// CheckShape says what the kernels cannot run, for all modes at once.
func (b *backend) CheckShape(s moe.Shape) error {
	if s.TopK > maxTopK || s.Experts > maxExperts {
		return fmt.Errorf("vulkan: %d experts, top-%d: the kernels take at most %d and top-%d",
			s.Experts, s.TopK, maxExperts, maxTopK)
	}
	return nil
}

// Close frees the kernels and closes the device, unless it is still at work.
func (b *backend) Close() error {
	if b.stuck {
		return errStuck
	}
	var errs []error
	for _, k := range b.kernels {
		errs = append(errs, k.Close())
	}
	for _, k := range b.texts {
		errs = append(errs, k.compiled.Close())
	}
	b.kernels, b.texts = nil, nil
	return errors.Join(append(errs, b.device.Close())...)
}

// kernelsFor returns the kernels of a runner.
func (b *backend) kernelsFor(cfg moe.RunConfig) (*kernels, error) {
	s := cfg.Shape
	s.Layers = 1 // the kernels run a layer at a time
	key := kernelKey{s, cfg.MaxTokens, cfg.Exact}
	if k := b.kernels[key]; k != nil {
		return k, nil
	}
	p := newProfile(b.device.Info(), b.matrices, s, cfg.Exact)
	k, err := newKernels(b.device, p, s, cfg.MaxTokens)
	if err == nil {
		b.kernels[key] = k
	}
	return k, err
}

// memoryError turns the runtime's out-of-memory error into the one that callers of
// every backend know.
func memoryError(err error) error {
	var oom *vk.OutOfMemoryError
	if !errors.As(err, &oom) {
		return err
	}
	return &moe.OutOfMemoryError{
		What: oom.What, Requested: oom.Requested, Free: oom.Free,
		Detail: oom.Breakdown(), Err: err,
	}
}
