package moe

import (
	"context"
	"time"

	"ufm/internal/hardware"
	"ufm/pager"
)

// Model is a source of weights: a checkpoint or a synthetic model.
// Its methods may be called concurrently.
type Model interface {
	// Name is a checkpoint's folder name or "synthetic".
	Name() string
	Shape() Shape
	// FillExpert writes expert e in the kernel layout to dst, Shape().ExpertBytes()
	// long and zeroed. A weight that is not finite is an error that names its tensor.
	FillExpert(e pager.ExpertID, dst []byte) error
	// Expert returns e's matrices in their natural order as exactly the values that
	// FillExpert stores: for the reference, independent of the kernel layout.
	Expert(e pager.ExpertID) (Matrices, error)
	// Router returns the gate weights of a layer: (experts, d_model).
	Router(layer int) ([]float32, error)
}

// Matrices are one expert's weights in natural order, (out, in) row-major.
type Matrices struct {
	Gate []float32 // (d_hidden, d_model); swiglu only
	Up   []float32 // (d_hidden, d_model); gelu: W1
	Down []float32 // (d_model, d_hidden); gelu: W2
}

// Mode is how experts are placed.
type Mode uint8

// The modes of DESIGN section 9. All give the same bits.
const (
	Baseline  Mode = iota // all experts resident
	Naive                 // one expert copied in for its call and back after it
	Published             // plain LRU, ascending order, each miss waited for
	UFM                   // everything this project has
)

// String is the name that flags and results use.
func (m Mode) String() string { return [...]string{"baseline", "naive", "published", "ufm"}[m] }

// RunConfig is what a Runner is made for.
type RunConfig struct {
	Shape     Shape
	Mode      Mode
	Slots     int                // of the pool; Baseline and Naive choose their own
	Policy    pager.Policy       // only UFM; nil: pager's default
	MaxTokens int                // most tokens of a step
	Exact     bool               // no kernel may round activations to 16 bits, not even for many rows
	Poison    bool               // fill each slot with NaN before its upload: hazards become visible
	Observe   func(*pager.Event) // called for each group, also by Baseline and Naive; may be nil
}

// Backend is a device that runs MoE layers. One goroutine may use it at a time.
type Backend interface {
	// Name is "vulkan" or "cpu".
	Name() string
	Device() Device
	// Measure returns the device's ceilings: a short measurement of device read,
	// link and arithmetic rates. The caller caches them.
	Measure(ctx context.Context) (hardware.Ceilings, error)
	// WorkBytes is about what a runner for steps of so many tokens takes of device memory
	// besides its slots: gates and activations, rather more than less.
	WorkBytes(s Shape, tokens int) int64
	// NewRunner takes the device memory that cfg needs; where it does not fit the
	// error is a *OutOfMemoryError.
	NewRunner(cfg RunConfig) (Runner, error)
	// NewBank fills a host bank with all experts of m, in parallel. progress may be
	// nil and may be called from several goroutines.
	NewBank(ctx context.Context, m Model, progress func(doneBytes int64)) (Bank, error)
	Close() error
}

// Device names what a backend runs on.
type Device struct {
	Name     string `json:"name"`
	Driver   string `json:"driver"`
	Unified  bool   `json:"unified"`   // device and host share one memory: paging gains nothing
	MemBytes int64  `json:"mem_bytes"` // of device memory that this process may take
	// MatrixUnits tells that experts may run on matrix units: the rate of float32 arithmetic
	// does not bound them.
	MatrixUnits bool `json:"matrix_units,omitempty"`
	// RoundedRows is the number of rows from which an expert of 16 bits may have its
	// activations rounded, unless RunConfig.Exact says no; 0: never.
	RoundedRows int `json:"rounded_rows,omitempty"`
}

// Bank holds all experts of a model in host memory. It may serve several Runners,
// one after the other, of the backend that made it.
type Bank interface {
	Model() Model
	HostBytes() int64
	// Close frees the memory. The Runners that it serves must be closed before: a prefetch
	// may still read it.
	Close() error
}

// Batch is the input of one step.
type Batch struct {
	Step   int
	Tokens int
	Phase  pager.Phase
	// Input is that of layer 0, (tokens, d_model), or of all layers, (layers, tokens,
	// d_model), if PerLayer; nil repeats the last one, which stays on the device.
	Input   []float32
	Routing []uint32 // (layers, tokens, top_k) indexes that replace the router's choice, or nil
	// PerLayer feeds every layer its own input (recorded activations); otherwise layer
	// l+1 takes RMSNorm(x + MoE(x)) of layer l.
	PerLayer bool
	Capture  *Capture // filled if not nil
}

// Capture receives what a step computed. Slices that are nil are not filled; the
// others must have the length of their shape.
type Capture struct {
	Input   []float32 // (layers, tokens, d_model): what each layer was given
	Output  []float32 // (layers, tokens, d_model): Σ weight × expert, before the residual
	Experts []uint32  // (layers, tokens, top_k) indexes within the layer, in top-k order
	Weights []float32 // (layers, tokens, top_k)
}

// StepTimes is what one step cost. Zero durations with Timed false are unknown.
type StepTimes struct {
	Wall    time.Duration
	Timed   bool
	Compute time.Duration // the compute queue was executing
	Upload  time.Duration // a transfer was executing
	Stall   time.Duration // the compute queue waited for an upload
	Submits int
	Waits   int
}

// Rounder is an optional ability of a Runner.
type Rounder interface {
	// Rounded reports whether activations were rounded to 16 bits in any step so far, as
	// some kernels do for experts with many rows unless RunConfig.Exact says no.
	Rounded() bool
}

// Runner runs steps of one model in one mode. One goroutine may use it at a time.
type Runner interface {
	// Attach uploads what stays on the device (gates; for Baseline every expert).
	Attach(ctx context.Context, b Bank) error
	// Step runs b through all layers and returns when its results are there.
	Step(ctx context.Context, b *Batch) (StepTimes, error)
	// Stats is a snapshot; uploads and bytes cover all transfers since Attach.
	Stats() pager.Stats
	// Moved is the bytes of experts copied so far, both ways together.
	Moved() int64
	// DeviceBytes is the most device memory taken so far.
	DeviceBytes() int64
	Close() error
}

// DeviceLostError is what the errors of a lost device have in common: every later call
// fails likewise, and only another backend cures it. Find it with errors.As.
type DeviceLostError interface {
	error
	DeviceLost()
}

// OutOfMemoryError tells that device memory does not suffice.
type OutOfMemoryError struct {
	What      string // what the memory was for
	Requested int64
	Free      int64  // as the driver or the limit tells
	Detail    string // by heap
	Err       error
}
