//go:build cgo && linux

package vulkan

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"ufm/moe"
	"ufm/shaders"
	"ufm/vk"
)

// step is the number of inputs that a split of an expert kernel takes at a time.
const step = 8

// profile is what the kernels' shapes depend on besides the model: this is the one
// place that chooses kernels.
type profile struct {
	tiles    []tiling // ascending in from; the first serves a single row
	minTiles int      // workgroups below which a dispatch leaves the device idle
	matrices bool     // all tilings are of matrix.comp, and rows come in parts of bfloat16
}

// tiling is the shape of one variant of an expert kernel. It serves experts of so many rows
// or more.
type tiling struct {
	from, rows, threads int

	// Of expert.comp.
	lanes  int // side by side, of four outputs each
	staged int // inputs in shared memory at a time

	// Of matrix.comp.
	up, down int  // subgroups side by side in each product
	split    int  // threads of the second product: more inputs, fewer outputs; 0: as the first
	rounded  bool // activations to bfloat16
}

// newProfile suits a GPU, or a CPU driver, where every pipeline costs a second of
// compiling and a workgroup's threads run one after the other. The GPU's numbers are the
// best of those measured on an H100 and an H200; see docs/performance.md. An exact profile
// never rounds activations.
func newProfile(info vk.DeviceInfo, matrices bool, s moe.Shape, exact bool) profile {
	switch {
	case info.Kind == cpuKind:
		return profile{minTiles: 2, tiles: []tiling{
			{from: 1, rows: 1, threads: 64, lanes: 32, staged: 256},
			{from: 2, rows: 8, threads: 64, lanes: 32, staged: 256},
		}}
	case !matrices: // one dispatch over all experts is worth more than a tiling for each number of rows
		return profile{minTiles: 1024, tiles: []tiling{
			{from: 1, rows: 1, threads: 256, lanes: 32, staged: 512},
			{from: 2, rows: 2, threads: 256, lanes: 32, staged: 512},
			{from: 3, rows: 16, threads: 256, lanes: 32, staged: 256},
		}}
	case s.DType == moe.F32:
		return profile{matrices: true, tiles: []tiling{
			{from: 1, rows: 32, threads: 64, up: 1, down: 1, split: 128},
		}}
	}
	p := profile{matrices: true, tiles: []tiling{
		{from: 1, rows: 16, threads: 128, up: 1, down: 1},
		{from: 17, rows: 32, threads: 128, up: 2, down: 1},
		{from: 33, rows: 48, threads: 128, up: 2, down: 2},
	}}
	if !exact {
		p.tiles = append(p.tiles, tiling{
			from: minRounded, rows: 64, threads: 64, up: 2, down: 2, rounded: true,
		})
	}
	return p
}

// minRounded is the least number of rows of experts whose activations may be rounded.
const minRounded = 64

// gatherKernel is the kernel that brings rows into the order of the tilings.
func (p profile) gatherKernel() string {
	if p.matrices {
		return "gather_parts"
	}
	return "gather"
}

// gatherItems is the number of threads of the gather kernel that a quad of rows takes.
func (p profile) gatherItems(inputs int) int {
	if p.matrices {
		return 4 * over(inputs, 16)
	}
	return inputs
}

// roundedFrom is the least number of rows of experts whose activations are rounded.
func (p profile) roundedFrom() uint32 {
	if p.rounds() {
		return minRounded
	}
	return math.MaxUint32
}

// rounds reports whether experts with many rows get their activations rounded.
func (p profile) rounds() bool { return p.tiles[len(p.tiles)-1].rounded }

// class returns the index of the tiling for an expert with so many rows. It depends on
// nothing but the expert's rows in its group, so that cutting a group changes no bit.
func (p profile) class(rows int) int {
	i := len(p.tiles) - 1
	for rows < p.tiles[i].from {
		i--
	}
	return i
}

// product is one product of an expert kernel: a pipeline for each class of rows.
type product struct {
	pipelines []*vk.Pipeline
	columns   []int // outputs of one workgroup, by class
	inputs    int
	outputs   int
	weight    int64 // byte offset of its matrix in a slot
	gate      int64
}

// kernels are all pipelines of a runner.
type kernels struct {
	profile
	gate, topk, group, gather, combine *vk.Pipeline
	gateTokens                         int          // of a workgroup of gate
	gates                              *vk.Pipeline // for many tokens, or nil
	up, down                           product
	token                              *vk.Pipeline // for a single token, or nil so far
	together                           int          // of its workgroups, or apart; 0: not known
	all                                []*vk.Pipeline
}

const (
	gateThreads    = 128
	gateExperts    = 4  // as in gate.comp
	gatesTokens    = 16 // as in gates.comp
	gatesExperts   = 32 // likewise
	manyTokens     = 64 // from which gates.comp serves
	topkThreads    = 128
	groupThreads   = 256
	gatherThreads  = 128
	combineThreads = 256
	maxTopK        = 64   // as in topk.comp
	maxExperts     = 1024 // of a layer: five words of shared memory each
)

// newKernels compiles what a shape needs for steps of up to maxTokens.
func newKernels(d *vk.Device, p profile, s moe.Shape, maxTokens int) (*kernels, error) {
	if s.TopK > maxTopK || s.Experts > maxExperts {
		return nil, fmt.Errorf("vulkan: %d experts, top-%d: the kernels take at most %d and top-%d",
			s.Experts, s.TopK, maxExperts, maxTopK)
	}
	k := &kernels{profile: p}
	b := builder{device: d, kernels: k}
	experts := uint32(s.Experts)
	k.gateTokens = min(maxTokens, 4)
	k.gate = b.pipeline("gate", pushGate{}, gateThreads, uint32(k.gateTokens))
	if maxTokens >= manyTokens {
		k.gates = b.pipeline("gates", pushGate{})
	}
	k.topk = b.pipeline("topk", pushTopK{}, topkThreads, experts)
	k.group = b.pipeline("group", pushGroup{}, groupThreads, experts)
	k.gather = b.pipeline(p.gatherKernel(), pushGather{}, gatherThreads)
	l := moe.NewLayout(s)
	k.combine = b.pipeline("combine", pushCombine{}, combineThreads, uint32(l.In/4), uint32(s.TopK))
	k.up = product{inputs: l.In, outputs: l.Hidden, weight: l.Up, gate: l.Gate}
	k.down = product{inputs: l.Hidden, outputs: l.In, weight: l.Down}
	b.product(&k.up, "up_"+s.Form.String()+"_"+s.DType.String(), s, maxTokens)
	b.product(&k.down, "down_"+s.DType.String(), s, maxTokens)
	if b.err != nil {
		return nil, errors.Join(b.err, k.Close())
	}
	return k, nil
}

// dispatchGate records the logits of so many tokens, by the kernel for that number.
func (k *kernels) dispatchGate(c *vk.Commands, p pushGate) {
	kernel, experts, tokens := k.gate, gateExperts, k.gateTokens
	if p.Tokens >= manyTokens {
		kernel, experts, tokens = k.gates, gatesExperts, gatesTokens
	}
	c.Dispatch(kernel, pushBytes(p), over(int(p.Experts), experts), over(int(p.Tokens), tokens), 1)
}

// checkDispatches refuses steps whose kernels would need more workgroups than the device
// dispatches: one for each token, each quad of rows, each tile.
func checkDispatches(info vk.DeviceInfo, cfg moe.RunConfig) error {
	choices := cfg.MaxTokens * cfg.Shape.TopK
	quads, tiles := mostQuads(cfg.Shape, choices)
	for _, d := range []struct {
		what string
		need int
		most int
	}{
		{"tokens", cfg.MaxTokens, min(info.MaxWorkgroups[0], info.MaxWorkgroups[1])},
		{"quads of rows", quads, info.MaxWorkgroups[1]},
		{"tiles of rows", tiles, info.MaxWorkgroups[1]},
	} {
		if d.need > d.most {
			return fmt.Errorf("vulkan: steps of %d tokens with top-%d may need %d workgroups for "+
				"their %s, but %s dispatches %d at most: run fewer tokens a step",
				cfg.MaxTokens, cfg.Shape.TopK, d.need, d.what, info.Name, d.most)
		}
	}
	l := moe.NewLayout(cfg.Shape)
	const indexed = 1 << 32 // by the kernels
	if rows := int64(4*quads) * int64(max(l.In, l.Hidden)); rows >= indexed {
		return fmt.Errorf("vulkan: steps of %d tokens with top-%d may need %d values of rows, more than "+
			"the kernels index: run fewer tokens a step", cfg.MaxTokens, cfg.Shape.TopK, rows)
	}
	return nil
}

// mostQuads is the most quads, and the most tiles, that so many choices of a layer can
// need: an expert's last quad, and its last tile, may have a single row.
func mostQuads(s moe.Shape, choices int) (quads, tiles int) {
	experts := min(s.Experts, choices)
	quads = (choices + 3*experts) / 4
	return quads, quads + experts
}

// Close frees the pipelines.
func (k *kernels) Close() error {
	var errs []error
	for _, p := range k.all {
		errs = append(errs, p.Close())
	}
	k.all = nil
	return errors.Join(errs...)
}

// builder compiles pipelines until the first error.
type builder struct {
	device  *vk.Device
	kernels *kernels
	err     error
}

func (b *builder) pipeline(name string, push any, spec ...uint32) *vk.Pipeline {
	if b.err != nil {
		return nil
	}
	p, err := b.device.NewPipeline(shaders.Code(name), spec, pushSize(push))
	if err != nil {
		b.err = fmt.Errorf("vulkan: kernel %s: %w", name, err)
		return nil
	}
	b.kernels.all = append(b.kernels.all, p)
	return p
}

// product compiles a product for every tiling that a step can need: an expert has at most
// a row of each token.
func (b *builder) product(p *product, name string, s moe.Shape, maxTokens int) {
	for _, t := range b.kernels.tiles {
		if t.from > maxTokens {
			break
		}
		if b.kernels.matrices {
			b.matrix(p, name, t)
			continue
		}
		experts := 1 // that a dispatch of a chunk of misses may have
		if t.rows <= 2 {
			experts = max(s.TopK, min(s.Experts, s.TopK*maxTokens))
		}
		t.lanes = b.kernels.lanes(t, 8, p.outputs, experts)
		p.columns = append(p.columns, 4*t.lanes)
		t.staged = max(t.threads/t.lanes*step, min(t.staged, (p.inputs+63)/64*64))
		shared := max((t.rows+3)/4*t.staged, 4*t.threads)
		p.pipelines = append(p.pipelines, b.pipeline(name, pushExpert{}, uint32(t.threads),
			uint32(t.rows), uint32(t.lanes), uint32(t.staged), uint32(shared)))
	}
}

// token compiles the kernel for a single token. A workgroup of its attention takes so many
// heads of dim values, and a part of its products most inputs.
func (b *builder) token(name string, s moe.Shape, dim, heads, most int) *vk.Pipeline {
	threads := newTuning(b.device.Info()).threads
	return b.pipeline(name, pushToken{}, uint32(threads), uint32(moe.NewLayout(s).In/4),
		uint32(s.Experts), uint32(s.TopK), uint32(dim), uint32(heads), uint32(most/4))
}

// matrix compiles one product for one tiling of matrix.comp.
func (b *builder) matrix(p *product, name string, t tiling) {
	const columns, subgroup = 64, 32 // of a subgroup of matrix.comp
	side := t.up
	if strings.HasPrefix(name, "down") {
		side, t.threads = t.down, max(t.threads, t.split)
	}
	outputs := side * columns
	if strings.HasPrefix(name, "up_swiglu") { // as many subgroups again have the gate
		side = min(2*side, t.threads/subgroup)
		outputs = side / 2 * columns
	}
	kind := "matrix"
	if t.rounded {
		kind = "rounded"
	}
	whole := uint32(0)
	if p.inputs%16 == 0 && p.outputs%outputs == 0 {
		whole = 1
	}
	p.columns = append(p.columns, outputs)
	p.pipelines = append(p.pipelines, b.pipeline(fmt.Sprintf("%s%d_%s", kind, t.rows, name),
		pushExpert{}, uint32(t.threads), uint32(side), whole))
}

// lanes chooses how many lanes share an expert's outputs: as many as leave enough
// workgroups to keep the device busy; the others of its threads split the inputs. With a
// row or two an expert must be spread wide; with more, its tiles add to the workgroups.
func (p profile) lanes(t tiling, least, outputs, experts int) int {
	enough := p.minTiles
	if t.rows > 2 {
		enough /= 64
	}
	lanes := t.lanes
	for lanes > least && experts*over(outputs, 4*lanes) < enough {
		lanes /= 2
	}
	return lanes
}
