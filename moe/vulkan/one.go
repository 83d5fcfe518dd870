//go:build cgo && linux

package vulkan

import (
	"encoding/binary"

	"ufm/moe"
	"ufm/vk"
)

// A single token, as in decode, leaves most of a device idle, and every barrier costs it
// about as much as its kernels. So it has kernels that do more in one dispatch: route.comp
// instead of five, and products of single rows that are spread wide. They are chosen by the
// number of tokens alone.

// oneKernels are the pipelines for a single token.
type oneKernels struct {
	route    *vk.Pipeline // of a layer alone; texts have their own
	up, down product      // with a pipeline for one row
}

// one compiles them.
func (b *builder) one(k *kernels, s moe.Shape) {
	l := moe.NewLayout(s)
	threads := 512
	if b.device.Info().Kind == cpuKind {
		threads = 64
	}
	k.one.route = b.pipeline("route_layer", pushRoute{}, uint32(routeThreads(threads, l.In)),
		uint32(l.In/4), uint32(s.Experts), uint32(s.TopK))
	k.one.up = product{inputs: l.In, outputs: l.Hidden, weight: l.Up, gate: l.Gate}
	k.one.down = product{inputs: l.Hidden, outputs: l.In, weight: l.Down}
	b.single(&k.one.up, "up_"+s.Form.String()+"_"+s.DType.String(), s.TopK)
	b.single(&k.one.down, "down_"+s.DType.String(), s.TopK)
}

// routeThreads is threads for a kernel that takes four of d values at a time: a power of two.
func routeThreads(threads, d int) int {
	for threads > 32 && threads > d/4 {
		threads /= 2
	}
	return threads
}

// single compiles a product of experts with a row each, as many as a token has: few, so that
// each is spread wide.
func (b *builder) single(p *product, name string, experts int) {
	t, enough := tiling{rows: 1, threads: 256, lanes: 32, staged: 512}, 512
	if b.device.Info().Kind == cpuKind {
		t, enough = tiling{rows: 1, threads: 64, lanes: 32, staged: 256}, 4
	}
	for t.lanes > 8 && experts*over(p.outputs, 4*t.lanes) < enough {
		t.lanes /= 2
	}
	t.staged = max(t.threads/t.lanes*step, min(t.staged, (p.inputs+63)/64*64))
	p.columns = []int{4 * t.lanes}
	p.pipelines = append(p.pipelines, b.pipeline(name, pushExpert{}, uint32(t.threads),
		uint32(t.rows), uint32(t.lanes), uint32(t.staged), uint32(max(t.staged, 4*t.threads))))
}

// route is struct Route of route.comp, field for field: addresses.
type route struct {
	Base, Added, Norm, Gate, H, X, Gathered, Logits, Counter, IDs, Weights, Counts, Position,
	Tiles, Slots, Predicted uint64
}

// routeBytes is the size of a route.
const routeBytes = 16 * 8

// writeRoutes writes what route.comp reads of every layer.
func (r *runner) writeRoutes() {
	m, s := r.memory, r.cfg.Shape
	for l := range s.Layers {
		experts := uint64(l * s.Experts)
		m.writeRoute(l, func(to *route) {
			*to = route{
				Gate:     m.gates.Address() + 4*experts*uint64(r.layout.In),
				Gathered: m.gathered.Address(), Logits: m.logits.Address(),
				Counter: m.counter.Address(), IDs: m.ids.Address(), Weights: m.weights.Address(),
				Counts: m.counts.Address() + 4*experts, Position: m.position.Address(),
				Tiles: m.plannedTiles.Address(), Slots: m.slots.Address() + 8*experts,
			}
		})
	}
}

// writeRoute changes the route of a layer.
func (m *memory) writeRoute(l int, change func(*route)) {
	var r route
	b := m.routes.Bytes()[l*routeBytes:][:routeBytes]
	_, _ = binary.Decode(b, binary.LittleEndian, &r) // both have the size of a route
	change(&r)
	_, _ = binary.Encode(b, binary.LittleEndian, &r)
}

// recordRoute records what recordRouter does for more tokens; of a text, attention included.
func (r *runner) recordRoute(c *vk.Commands, b *moe.Batch, l int) {
	s := r.cfg.Shape
	p := pushRoute{
		Route: r.memory.routes.Address() + uint64(l*routeBytes), Planes: 1, DModel: uint32(s.DModel),
	}
	kernel := r.kernels.one.route
	if x := r.text; x != nil {
		kernel = x.kernels.route
		p.Parts, p.Epsilon = uint32(x.recordToOutput(c, l)), float32(x.sizes.NormEps)
		if x.predict && l+1 < s.Layers {
			p.Planes = 2
		}
	} else {
		r.recordInput(c, b, l)
		x, at := r.layerInput(b, l)
		p.Input = x.Address() + uint64(at)
	}
	if b.Routing != nil {
		p.Given = r.memory.routing.Address() + uint64(4*l*s.TopK)
	}
	if r.planned {
		p.Planned = 1
	}
	if s.NormTopK {
		p.Normalize = 1
	}
	c.Dispatch(kernel, pushBytes(p), over(int(p.Planes)*s.Experts, routeExperts), 1, 1)
	if r.planned && b.Capture == nil {
		c.DispatchBarrier()
		return
	}
	c.Barrier() // the host, or a copy, reads the choice
	r.captureChoice(c, b, l)
}

// recordOne records the experts of a token where every expert is resident: each of them has
// one row, so that the sizes of the dispatches are known.
func (r *runner) recordOne(c *vk.Commands) {
	m, k := r.memory, &r.kernels.one
	for i, p := range []*product{&k.up, &k.down} {
		src, dst := m.gathered, m.hidden
		if i == 1 {
			src, dst = m.hidden, m.y
			c.DispatchBarrier()
		}
		c.Dispatch(p.pipelines[0], r.pushProduct(p, m.plannedTiles, src, dst, 0),
			over(p.outputs, p.columns[0]), r.cfg.Shape.TopK, 1)
	}
}
