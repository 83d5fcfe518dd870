package sweep

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"ufm/bench"
	"ufm/moe"
)

// Cell is one mode of one model: what becomes one row. Names are those of the flags of
// ufm run, in presets with _ for -.
type Cell struct {
	Preset    string   `json:"preset" toml:"-"`
	Layers    int      `json:"layers" toml:"layers"`
	Experts   int      `json:"experts" toml:"experts"` // of a layer
	DModel    int      `json:"d_model" toml:"d_model"`
	DHidden   int      `json:"d_hidden" toml:"d_hidden"`
	TopK      int      `json:"top_k" toml:"top_k"`
	Form      string   `json:"form" toml:"form"`
	DType     string   `json:"dtype" toml:"dtype"`
	Seed      uint64   `json:"seed" toml:"seed"`
	VRAMLimit string   `json:"vram_limit" toml:"vram_limit"` // "": none
	Routing   string   `json:"routing" toml:"routing"`       // a trace by its name in the folder of traces
	Tokens    int      `json:"tokens" toml:"tokens"`
	Budget    string   `json:"budget" toml:"budget"`
	Policy    string   `json:"policy" toml:"policy"`
	Steps     int      `json:"steps" toml:"steps"` // 0: as many as fit Seconds
	Seconds   float64  `json:"seconds" toml:"seconds"`
	Verify    bool     `json:"verify" toml:"verify"`
	Limit     duration `json:"limit" toml:"limit"` // time that the cell may take, its bank apart
	Mode      string   `json:"mode" toml:"mode"`
}

// defaultCell is the published shape, where a preset does not say otherwise.
func defaultCell() Cell {
	return Cell{
		Layers: 1, Experts: 96, DModel: 2048, DHidden: 8192, TopK: 2, Form: "gelu", DType: "f32",
		Seed: 1, Routing: "uniform", Tokens: 512, Budget: "50%", Policy: "nextuse", Seconds: 3,
		Limit: duration(2 * time.Minute), Mode: "ufm",
	}
}

// String tells cells of one preset apart for people. The policy is mode ufm's.
func (c Cell) String() string {
	if c.Mode != moe.UFM.String() {
		c.Policy = "-"
	}
	return fmt.Sprintf("%s: %s (%s), %d × %d experts of %d × %d %s, %d tokens, %s, budget %s",
		c.Preset, c.Mode, c.Policy, c.Layers, c.Experts, c.DModel, c.DHidden, c.DType, c.Tokens,
		c.Routing, c.Budget)
}

// duration is a time.Duration that is written as 90s.
type duration time.Duration

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err == nil && v <= 0 {
		err = fmt.Errorf("time: %s is not above 0", text)
	}
	*d = duration(v)
	return err
}

// traceName is the trace that the routing follows, or "".
func (c Cell) traceName() string {
	name, ok := strings.CutPrefix(c.Routing, "trace:")
	if !ok {
		return ""
	}
	return name
}

// bankKey is the same for cells that can share a bank: one model within one limit.
func (c Cell) bankKey() Cell {
	return Cell{
		Preset: c.Preset, Layers: c.Layers, Experts: c.Experts, DModel: c.DModel,
		DHidden: c.DHidden, TopK: c.TopK, Form: c.Form, DType: c.DType, Seed: c.Seed,
		VRAMLimit: c.VRAMLimit,
	}
}

// shape of the cell's model.
func (c Cell) shape() (s moe.Shape, err error) {
	form, err1 := moe.ParseForm(c.Form)
	dtype, err2 := moe.ParseDType(c.DType)
	s = moe.Shape{
		Layers: c.Layers, Experts: c.Experts, DModel: c.DModel, DHidden: c.DHidden,
		TopK: c.TopK, Form: form, DType: dtype,
	}
	if err := errors.Join(err1, err2); err != nil {
		return s, err
	}
	return s, s.Validate()
}

// memoryLimit is the most device memory that the cell's process may take; 0: all.
func (c Cell) memoryLimit() (int64, error) {
	if c.VRAMLimit == "" {
		return 0, nil
	}
	limit, err := bench.ParseSize(c.VRAMLimit)
	if err != nil {
		return 0, fmt.Errorf("vram_limit: %w", err)
	}
	return limit, nil
}

// specs makes cells into runs of bench: neighbours that differ only in their mode are
// one run, so that their outputs are compared. All are of one model.
func specs(cells []Cell, load traceLoader) ([]bench.Spec, error) {
	var all []bench.Spec
	var previous Cell
	var model moe.Model
	for i, c := range cells {
		mode, err := bench.ParseMode(c.Mode)
		if err != nil {
			return nil, err
		}
		same := c
		same.Mode = previous.Mode
		if i > 0 && same == previous {
			last := &all[len(all)-1]
			last.Modes = append(last.Modes, mode)
			continue
		}
		previous = c
		spec, err := c.spec(model, load)
		if err != nil {
			return nil, err
		}
		spec.Modes, model = []moe.Mode{mode}, spec.Model
		all = append(all, spec)
	}
	return all, nil
}

// spec is the cell without its mode. A nil model is made.
func (c Cell) spec(model moe.Model, load traceLoader) (spec bench.Spec, err error) {
	shape, err := c.shape()
	if err != nil {
		return spec, err
	}
	if model == nil {
		if model, err = moe.NewSynthetic(shape, c.Seed); err != nil {
			return spec, err
		}
	}
	spec = bench.Spec{
		Model: model, Tokens: c.Tokens, Seed: c.Seed, Steps: c.Steps, Verify: c.Verify,
		Duration: time.Duration(c.Seconds * float64(time.Second)), Policy: c.Policy,
	}
	if spec.Routing, err = moe.ParseRouting(c.Routing, shape, c.Seed, load); err != nil {
		return spec, err
	}
	if spec.Budget, err = bench.ParseBudget(c.Budget); err != nil {
		return spec, err
	}
	spec.MemoryLimit, err = c.memoryLimit()
	return spec, err
}

// traceLoader opens a trace by the name that a cell gives it.
type traceLoader func(name string) (*moe.RoutingTrace, error)

// in looks for traces in a folder.
func (load traceLoader) in(dir string) traceLoader {
	return func(name string) (*moe.RoutingTrace, error) {
		if filepath.IsAbs(name) {
			return load(name)
		}
		return load(filepath.Join(dir, name))
	}
}
