//go:build cgo && linux

package vulkan

import (
	"errors"

	"ufm/moe"
	"ufm/vk"
)

// memory is everything a runner allocates but the pool. Rows of d_model and d_hidden are
// padded as in moe.Layout; quads are the rows of experts in fours.
type memory struct {
	taker

	tuning   tuning
	parts    bool // rows between the products are in parts of bfloat16: see parts.glsl
	quads    int  // most that a layer can need
	maxTiles int  // likewise: an expert's last tile may be a single row

	// On the device.
	input    *vk.Buffer // (layers or 1, tokens, in): what the caller gave
	x        *vk.Buffer // (tokens, in): what the layer under way works on
	gates    *vk.Buffer // (layers, experts, in)
	logits   *vk.Buffer // (tokens, experts)
	ids      *vk.Buffer // (tokens, top_k)
	weights  *vk.Buffer // (tokens, top_k)
	rows     *vk.Buffer // (quads, 4): tokens
	position *vk.Buffer // (tokens, top_k): rows
	gathered *vk.Buffer // (quads, in) of vec4, or in parts
	hidden   *vk.Buffer // (quads, hidden) of vec4, or in parts
	y        *vk.Buffer // (rows, in)
	moe      *vk.Buffer // (tokens, in)

	// What the device plans a layer with, where everything is resident: see plan.go.
	plannedTiles *vk.Buffer // (tilings, maxTiles)
	dispatches   *vk.Buffer // (products, tilings) of three words

	// Of a single token: see token.comp.
	ops     *vk.Buffer // the list
	meeting *vk.Buffer // Meeting, and the counter of route groups that are done
	report  *vk.Buffer // Report
	one     *vk.Buffer // its activations, at these offsets
	oneAt   [oneParts + 1]int64

	// On the host, for the device to read or write.
	staged  *vk.Buffer // as input
	routing *vk.Buffer // (layers, tokens, top_k), or of single tokens (sets, layers, top_k)
	counts  *vk.Buffer // (layers, experts): rows of each
	tiles   *vk.Buffer // (maxTiles)
	plan    *vk.Buffer // struct Plan of group.comp
	slots   *vk.Buffer // (layers, experts): addresses, of a text 0 where an expert is not resident
	staging *vk.Buffer // one expert: Naive

	// Made when a step is first captured.
	captureInput, captureOutput    *vk.Buffer // (layers, tokens, in)
	captureExperts, captureWeights *vk.Buffer // (layers, tokens, top_k)
}

const (
	tileBytes     = 16 // struct Tile of expert.comp
	dispatchBytes = 12 // three words
	maxTilings    = 8  // as in group.comp
)

// newMemory allocates for steps of up to cfg's tokens, and inputs for so many layers.
func newMemory(d *vk.Device, cfg moe.RunConfig, layers int, parts bool) (*memory, error) {
	m := &memory{taker: taker{device: d}, parts: parts, tuning: newTuning(d.Info())}
	m.take(cfg, layers)
	if m.err != nil {
		return nil, errors.Join(m.err, m.Close())
	}
	clear(m.staged.Words()) // the padding of rows stays zero
	clear(m.report.Words())
	clear(m.slots.Bytes())
	return m, nil
}

// take allocates, or counts, every buffer.
func (m *memory) take(cfg moe.RunConfig, layers int) {
	s, l := cfg.Shape, moe.NewLayout(cfg.Shape)
	tokens, experts, in := int64(cfg.MaxTokens), int64(s.Experts), int64(l.In)
	choices := tokens * int64(s.TopK)
	quads := (choices + 3*min(experts, choices)) / 4
	m.quads, m.maxTiles = int(quads), int(quads+min(experts, choices))

	m.input = m.new(vk.DeviceLocal, 4*int64(layers)*tokens*in)
	m.x = m.new(vk.DeviceLocal, 4*tokens*in)
	m.gates = m.new(vk.DeviceLocal, 4*int64(s.Layers)*experts*in)
	m.logits = m.new(vk.DeviceLocal, 4*tokens*experts)
	m.ids = m.new(vk.DeviceLocal, 4*choices)
	m.weights = m.new(vk.DeviceLocal, 4*choices)
	m.rows = m.new(vk.DeviceLocal, 16*quads)
	m.position = m.new(vk.DeviceLocal, 4*choices)
	m.gathered = m.new(vk.DeviceLocal, m.rowBytes(quads, l.In))
	m.hidden = m.new(vk.DeviceLocal, m.rowBytes(quads, l.Hidden))
	m.y = m.new(vk.DeviceLocal, 16*quads*in)
	m.moe = m.new(vk.DeviceLocal, 4*tokens*in)

	m.staged = m.new(vk.HostCoherent, 4*int64(layers)*tokens*in)
	m.routing = m.new(vk.DeviceMapped, 4*int64(s.Layers)*max(choices, tokenSets*int64(s.TopK)))
	m.counts = m.new(vk.HostCached, 4*int64(s.Layers)*experts)
	m.tiles = m.new(vk.DeviceMapped, tileBytes*int64(m.maxTiles))
	m.plan = m.new(vk.DeviceMapped, planBytes)
	m.slots = m.new(vk.DeviceMapped, 8*int64(s.Layers)*experts)
	m.plannedTiles = m.new(vk.DeviceLocal, tileBytes*maxTilings*int64(m.maxTiles))
	m.dispatches = m.new(vk.DeviceLocal, 2*maxTilings*dispatchBytes)
	m.takeToken(s, in)
	if cfg.Mode == moe.Naive {
		m.staging = m.new(vk.HostCached, l.Bytes)
	}
}

// The activations of a single token.
const (
	oneX       = iota // (in)
	oneLogits         // (2, experts)
	oneWeights        // (top_k): of the experts, ascending
	oneTiles          // (top_k)
	oneHidden         // (top_k, matrices, parts, hidden)
	oneY              // (top_k, parts, in)
	oneParts
)

// counterAt is where the counter stands in memory.meeting.
const counterAt = meetingBytes

// takeToken takes what a single token needs.
func (m *memory) takeToken(s moe.Shape, in int64) {
	const align = 256
	up, down := m.tuning.expertCuts(s)
	topK := int64(s.TopK)
	for i, size := range [oneParts]int64{
		oneX: 4 * in, oneLogits: 8 * int64(s.Experts), oneWeights: 4 * topK,
		oneTiles: tileBytes * topK, oneHidden: 4 * topK * up.values(), oneY: 4 * topK * down.values(),
	} {
		m.oneAt[i+1] = m.oneAt[i] + (size+align-1)/align*align
	}
	m.one = m.new(vk.DeviceLocal, m.oneAt[oneParts])
	m.ops = m.new(vk.DeviceMapped, opBytes*tokenLists*int64(2+textOps*s.Layers))
	m.meeting = m.new(vk.DeviceLocal, meetingBytes+4)
	m.report = m.new(vk.HostCached, 8)
}

// recordMeeting makes the meeting ready for its first dispatch.
func (m *memory) recordMeeting(c *vk.Commands) {
	c.Barrier()
	c.Fill(m.meeting, 0, m.meeting.Size(), 0)
	c.Barrier()
}

// address is that of an activation of a single token.
func (m *memory) address(part int) uint64 { return m.one.Address() + uint64(m.oneAt[part]) }

// rowBytes is the size of the rows of so many quads, as a product reads them.
func (m *memory) rowBytes(quads int64, inputs int) int64 {
	if m.parts {
		return partBytes(quads, inputs)
	}
	return 16 * quads * int64(inputs)
}

// partBytes is the size of the rows of so many quads in parts of bfloat16. A tile of matrix.comp
// reads whole matrices of rows, past its own and past the last.
func partBytes(quads int64, inputs int) int64 {
	const valueBytes, step, quadsOfMatrix = 3 * 2, 16, 4 // a value is three bfloat16
	return 4 * valueBytes * (quads + quadsOfMatrix) * int64(over(inputs, step)*step)
}

// capture makes the buffers that a captured step is copied to.
func (m *memory) capture(s moe.Shape, tokens int) error {
	if m.captureInput != nil {
		return nil
	}
	states := 4 * int64(s.Layers) * int64(tokens) * int64(moe.NewLayout(s).In)
	choices := 4 * int64(s.Layers) * int64(tokens) * int64(s.TopK)
	m.captureInput = m.new(vk.HostCached, states)
	m.captureOutput = m.new(vk.HostCached, states)
	m.captureExperts = m.new(vk.HostCached, choices)
	m.captureWeights = m.new(vk.HostCached, choices)
	return m.err
}

// taker allocates buffers until the first error, and frees them together. Without a
// device it only counts what device memory they would take.
type taker struct {
	device *vk.Device
	all    []*vk.Buffer
	err    error
	local  int64 // bytes of device memory
	host   int64 // and of the host's
}

func (m *taker) new(kind vk.Memory, size int64) *vk.Buffer {
	const page = 64 << 10 // what a driver gives is a multiple
	whole := (size + page - 1) / page * page
	if kind == vk.DeviceLocal || kind == vk.DeviceMapped {
		m.local += whole
	} else {
		m.host += whole
	}
	if m.err != nil || m.device == nil {
		return nil
	}
	b, err := m.device.NewBuffer(kind, size, "activations")
	if err != nil {
		m.err = err
		return nil
	}
	m.all = append(m.all, b)
	return b
}

// Close frees all buffers.
func (m *taker) Close() error {
	var errs []error
	for _, b := range m.all {
		errs = append(errs, b.Close())
	}
	m.all = nil
	return errors.Join(errs...)
}
