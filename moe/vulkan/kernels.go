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

// profile is what the kernels' shapes depend on besides the model.
type profile struct {
	threads  int   // of an expert kernel's workgroup
	classes  []int // rows of a tile, ascending
	minTiles int   // workgroups below which a dispatch leaves the device idle
}

// newProfile suits a GPU, or a CPU driver, where every pipeline costs a second of
// compiling and a workgroup's threads run one after the other.
func newProfile(info vk.DeviceInfo, form moe.Form) profile {
	if info.Kind == "CPU" {
		return profile{threads: 64, classes: []int{1, 4, 8}, minTiles: 2}
	}
	p := profile{threads: 256, classes: []int{1, 2, 4, 8, 12, 16, 24, 32}, minTiles: 256}
	if form == moe.SwiGLU { // its first product holds two sums for each row
		p.classes = p.classes[:6]
	}
	return p
}

// class returns the index of the smallest class that holds all rows of an expert, or of
// the largest one, of which the expert then takes several tiles. It depends on nothing
// but the expert's rows in its group, so that cutting a group changes no bit.
func (p profile) class(rows int) int {
	for i, r := range p.classes {
		if rows <= r {
			return i
		}
	}
	return len(p.classes) - 1
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
	maxExperts     = 2048 // of a layer: two words of shared memory each
)

// newKernels compiles what a shape needs for steps of up to maxTokens.
func newKernels(d *vk.Device, s moe.Shape, maxTokens int) (*kernels, error) {
	if s.TopK > maxTopK || s.Experts > maxExperts {
		return nil, fmt.Errorf("vulkan: %d experts, top-%d: the kernels take at most %d and top-%d",
			s.Experts, s.TopK, maxExperts, maxTopK)
	}
	k := &kernels{profile: newProfile(d.Info(), s.Form), gateTokens: min(maxTokens, 4)}
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

// product compiles a product for every class of rows that a step can have.
func (b *builder) product(p *product, name string, s moe.Shape, maxTokens int) {
	threads := b.kernels.threads
	for i, rows := range b.kernels.classes {
		if i > 0 && b.kernels.classes[i-1] >= maxTokens {
			break // an expert has at most a row of each token
		}
		active := max(s.TopK, min(s.Experts, s.TopK*maxTokens/rows))
		lanes := b.kernels.lanes(p.outputs, active)
		quads := (rows + 3) / 4
		staged := max(threads/lanes*step, min(256, (p.inputs+63)/64*64))
		shared := max(quads*staged, 4*threads)
		p.columns = append(p.columns, 4*lanes)
		p.pipelines = append(p.pipelines, b.pipeline(name, pushExpert{}, uint32(threads),
			uint32(rows), uint32(lanes), uint32(staged), uint32(shared)))
	}
}

// lanes chooses how many lanes share an expert's outputs: as many as leave enough
// workgroups to fill the device; the others of its threads split the inputs.
func (p profile) lanes(outputs, experts int) int {
	lanes := 32
	for lanes > 8 && experts*((outputs+4*lanes-1)/(4*lanes)) < p.minTiles {
		lanes /= 2
	}
	return min(lanes, p.threads/2)
}
