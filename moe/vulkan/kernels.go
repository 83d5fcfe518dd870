//go:build cgo && linux

package vulkan

import (
	"errors"
	"fmt"

	"ufm/moe"
	"ufm/shaders"
	"ufm/vk"
)

// step is the number of inputs that a split of an expert kernel takes at a time.
const step = 8

// profile is what the kernels' shapes depend on besides the model: this is the one
// place that chooses kernels.
type profile struct {
	tiles    []tiling // ascending in rows
	minTiles int      // workgroups below which a dispatch leaves the device idle
}

// tiling is the shape of one variant of an expert kernel, as in expert.comp.
type tiling struct {
	rows, threads, lanes, staged int
}

// newProfile suits a GPU, or a CPU driver, where every pipeline costs a second of
// compiling and a workgroup's threads run one after the other. The GPU's numbers are the
// best of those measured on an H200; see docs/performance.md.
func newProfile(info vk.DeviceInfo, s moe.Shape) profile {
	if info.Kind == "CPU" {
		return profile{minTiles: 2, tiles: []tiling{
			{1, 64, 32, 256}, {8, 64, 32, 256},
		}}
	}
	return profile{minTiles: 1024, tiles: []tiling{
		{1, 256, 32, 512}, {2, 256, 32, 512},
		{4, 128, 32, 512}, {8, 128, 32, 512}, {12, 128, 32, 512},
		{16, 256, 32, 256},
	}}
}

// class returns the index of the tiling for an expert with so many rows: the smallest
// that holds them all; beyond the largest, the one below it if it takes no more tiles. It
// depends on nothing but the expert's rows in its group, so that cutting a group changes
// no bit.
func (p profile) class(rows int) int {
	last := len(p.tiles) - 1
	for i, t := range p.tiles {
		if rows <= t.rows {
			return i
		}
	}
	if last > 0 && over(rows, p.tiles[last-1].rows) <= over(rows, p.tiles[last].rows) {
		return last - 1
	}
	return last
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
	gateTokens                         int // tokens of one gate workgroup
	up, down                           product
	all                                []*vk.Pipeline
}

const (
	gateThreads    = 128
	gateExperts    = 4 // as in gate.comp
	topkThreads    = 64
	groupThreads   = 256
	gatherThreads  = 128
	combineThreads = 128
	maxTopK        = 64   // as in topk.comp
	maxExperts     = 1024 // of a layer: five words of shared memory each
)

// newKernels compiles what a shape needs for steps of up to maxTokens.
func newKernels(d *vk.Device, s moe.Shape, maxTokens int) (*kernels, error) {
	if s.TopK > maxTopK || s.Experts > maxExperts {
		return nil, fmt.Errorf("vulkan: %d experts, top-%d: the kernels take at most %d and top-%d",
			s.Experts, s.TopK, maxExperts, maxTopK)
	}
	k := &kernels{profile: newProfile(d.Info(), s), gateTokens: min(maxTokens, 4)}
	b := builder{device: d, kernels: k}
	experts := uint32(s.Experts)
	k.gate = b.pipeline("gate", pushGate{}, gateThreads, uint32(k.gateTokens))
	k.topk = b.pipeline("topk", pushTopK{}, topkThreads, experts)
	k.group = b.pipeline("group", pushGroup{}, groupThreads, experts)
	k.gather = b.pipeline("gather", pushGather{}, gatherThreads)
	k.combine = b.pipeline("combine", pushCombine{}, combineThreads)
	l := moe.NewLayout(s)
	k.up = product{inputs: l.In, outputs: l.Hidden, weight: l.Up, gate: l.Gate}
	k.down = product{inputs: l.Hidden, outputs: l.In, weight: l.Down}
	b.product(&k.up, "up_"+s.Form.String()+"_"+s.DType.String(), s, maxTokens)
	b.product(&k.down, "down_"+s.DType.String(), s, maxTokens)
	if b.err != nil {
		return nil, errors.Join(b.err, k.Close())
	}
	return k, nil
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

// product compiles a product for every tiling that a step can need.
func (b *builder) product(p *product, name string, s moe.Shape, maxTokens int) {
	tiles := b.kernels.tiles
	for i, t := range tiles {
		if i > 0 && tiles[i-1].rows >= maxTokens {
			break // an expert has at most a row of each token
		}
		experts := 1 // that a dispatch of a chunk of misses may have
		if t.rows <= 2 {
			experts = max(s.TopK, min(s.Experts, s.TopK*maxTokens))
		}
		t.lanes = b.kernels.lanes(t, p.outputs, experts)
		t.staged = max(t.threads/t.lanes*step, min(t.staged, (p.inputs+63)/64*64))
		shared := max((t.rows+3)/4*t.staged, 4*t.threads)
		p.columns = append(p.columns, 4*t.lanes)
		p.pipelines = append(p.pipelines, b.pipeline(name, pushExpert{}, uint32(t.threads),
			uint32(t.rows), uint32(t.lanes), uint32(t.staged), uint32(shared)))
	}
}

// lanes chooses how many lanes share an expert's outputs: as many as leave enough
// workgroups to keep the device busy; the others of its threads split the inputs. With a
// row or two an expert must be spread wide; with more, its tiles add to the workgroups.
func (p profile) lanes(t tiling, outputs, experts int) int {
	enough := p.minTiles
	if t.rows > 2 {
		enough /= 64
	}
	lanes := t.lanes
	for lanes > 8 && experts*over(outputs, 4*lanes) < enough {
		lanes /= 2
	}
	return lanes
}
