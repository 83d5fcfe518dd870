package sim

import (
	"errors"
	"fmt"
	"slices"

	"ufm/internal/hardware"
)

// Machine is what the time model's clock runs on: a device and the experts that it is
// to run.
type Machine struct {
	Device      hardware.Ceilings
	DType       string // of the weights: f32, f16 or bf16
	ExpertBytes int64  // of one expert
	ExpertFlops int64  // of one row in one expert
	DModel      int
}

// What is assumed of a device that was not measured in full.
const (
	// Of an H100: a wait that puts the host's thread to sleep, and a barrier.
	defaultTurnUs    = 34
	defaultBarrierUs = 4.3
	// The router's chain has this many dispatches, each with a barrier after it, and so
	// has combine.
	layerBarriers = 7
	// An upload waits for the compute that frees its slot, which a queue notices late.
	defaultCopyUs = 100
)

// speeds are a machine's figures in the clock's unit: nanoseconds.
type speeds struct {
	copies   hardware.Copies
	cores    float64
	turn     float64 // from the host's submit to its waking, without the device's work
	paged    float64 // its turn for a layer of a step that pages, without recording pieces
	first    float64 // likewise until the first layer of such a step
	op       float64 // the device's time between two pieces of compute
	layer    float64 // of a layer besides its experts
	token    float64 // likewise, more for each token, without what follows
	gate     float64 // likewise, for each expert of the layer
	choice   float64 // likewise, for each of its experts beyond the first
	step     float64 // the host's, for a step with everything resident
	host     recording
	copyWait float64 // of a queue before a copy
	transfer float64 // of one expert over the link, all queues at work
	single   float64 // likewise over one queue
	read     float64 // of one expert's weights at the read ceiling
	flop     float64 // of one row in one expert at the arithmetic ceiling
	kernels  []kernelSpeed
}

// recording is what the host takes before it submits: for an upload, for each of its experts
// beyond the first, for a compute, and for a layer of a step with everything resident.
type recording struct{ upload, copy, compute, layer float64 }

// kernelSpeed is the time for one expert with so many rows: among many in a dispatch, and
// alone.
type kernelSpeed struct {
	rows, many, one float64
	beside          sharing
}

// sharing is how fast compute and a copy are beside each other, of what each is alone.
type sharing struct{ compute, copy float64 }

func (m *Machine) speeds() (*speeds, error) {
	d := &m.Device
	if d.ReadGBs <= 0 || d.LinkGBs <= 0 || d.F32TFlops <= 0 {
		return nil, fmt.Errorf("sim: hardware of %q: a ceiling is missing: read %g GB/s, "+
			"link %g GB/s, f32 %g TFLOP/s", d.Device, d.ReadGBs, d.LinkGBs, d.F32TFlops)
	}
	if m.ExpertBytes <= 0 || m.ExpertFlops <= 0 {
		return nil, errors.New("sim: time model: the size of an expert is not known")
	}
	size := float64(m.ExpertBytes)
	s := &speeds{
		copies: hardware.ByQueues, cores: 1,
		turn: 1e3 * defaultTurnUs, op: 1e3 * defaultBarrierUs,
		layer: 1e3 * defaultBarrierUs * layerBarriers, copyWait: 1e3 * defaultCopyUs,
		read: size / d.ReadGBs, flop: float64(m.ExpertFlops) / (1e3 * d.F32TFlops),
	}
	if d.SubmitWaitUs > 0 {
		s.turn = 1e3 * d.SubmitWaitUs
	}
	if d.BarrierUs > 0 {
		s.op, s.layer = 1e3*d.BarrierUs, 1e3*d.BarrierUs*layerBarriers
	}
	all, one := linkRates(d, m.ExpertBytes)
	s.transfer, s.single = size/all, size/one
	if t := d.Timing; t != nil {
		s.copies = t.Copies
		s.layer, s.step = 1e3*t.LayerUs, max(0, 1e3*t.StepUs-s.turn) // one turn is always there
		per := float64(m.DModel)
		s.gate, s.choice = t.GateUs*per, t.ChoiceUs*per
		s.token = t.TokenUs*per - hardware.TimedExperts*s.gate
	}
	if s.copies != hardware.ByQueues {
		s.copyWait, s.op = 0, 0 // part of what was measured
	}
	if s.copies == hardware.ByCores {
		s.turn, s.cores = 0, float64(max(1, d.Timing.Cores)) // the host is the device
	}
	s.hostCosts(d)
	if d.Timing != nil {
		s.kernels = s.kernelSpeeds(d.Timing, m.DType, size)
	}
	return s, nil
}

// hostCosts fills in what the host takes. Of older measurements only a bare turn is known.
func (s *speeds) hostCosts(d *hardware.Ceilings) {
	s.paged, s.first = s.turn, s.step+s.turn
	if d.CopyWaitUs > 0 && s.copies == hardware.ByQueues {
		s.copyWait = 1e3 * d.CopyWaitUs
	}
	h := d.Host
	if h == nil || s.copies == hardware.ByCores {
		return
	}
	s.host = recording{1e3 * h.UploadUs, 1e3 * h.CopyUs, 1e3 * h.ComputeUs, 1e3 * h.ResidentUs}
	if h.LayerUs > 0 { // it has one compute
		s.paged = max(s.turn, 1e3*(h.LayerUs-h.ComputeUs))
		s.first = s.paged
	}
}

// linkRates are the rates of uploads of one size on all transfer queues and on one:
// those of the measured size that is nearest from below, or of the smallest.
func linkRates(d *hardware.Ceilings, bytes int64) (all, one float64) {
	all, one = d.LinkGBs, d.LinkGBs
	for i, l := range d.Link {
		if i > 0 && l.Bytes > bytes {
			break
		}
		if l.UpGBs > 0 && l.OneQueueGBs > 0 {
			all, one = l.UpGBs, l.OneQueueGBs
		}
	}
	return all, one
}

// kernelSpeeds are the speeds of the kernels for one storage type, by rows. Those measured
// on a few experts read no weights faster than memory gives them: they may lie in caches.
func (s *speeds) kernelSpeeds(t *hardware.Timing, dtype string, size float64) []kernelSpeed {
	least := s.read
	if t.BankBytes > 0 {
		least = 0
	}
	var list []kernelSpeed
	for _, r := range t.Experts {
		if r.DType != dtype || r.GBs <= 0 {
			continue
		}
		k := kernelSpeed{rows: r.Rows, many: max(size/r.GBs, least), beside: s.shares()}
		k.one = k.many
		if r.OneGBs > 0 {
			k.one = max(k.many, size/r.OneGBs)
		}
		if r.Beside > 0 && r.CopyBeside > 0 {
			k.beside = sharing{min(1, r.Beside), min(1, r.CopyBeside)}
		}
		list = append(list, k)
	}
	slices.SortFunc(list, func(a, b kernelSpeed) int { return int(a.rows - b.rows) })
	return list
}

// shares is what a thread that copies leaves of the cores, and gets of one.
func (s *speeds) shares() sharing {
	equal := s.cores / (s.cores + 1)
	return sharing{equal, equal}
}

// expert is the speed for one expert with so many rows. Between measured numbers of rows
// it is interpolated, beyond them arithmetic binds, and time grows with the rows.
func (s *speeds) expert(rows float64) kernelSpeed {
	ks := s.kernels
	if len(ks) == 0 {
		many := max(s.read, rows*s.flop)
		return kernelSpeed{rows, many, many, s.shares()}
	}
	i := 0
	for i < len(ks) && ks[i].rows < rows {
		i++
	}
	switch {
	case i == 0:
		return ks[0]
	case i == len(ks):
		k := ks[i-1]
		by := rows / k.rows
		return kernelSpeed{rows, k.many * by, k.one * by, k.beside}
	}
	a, b := ks[i-1], ks[i]
	part := (rows - a.rows) / (b.rows - a.rows)
	between := func(a, b float64) float64 { return a + part*(b-a) }
	return kernelSpeed{
		rows, between(a.many, b.many), between(a.one, b.one),
		sharing{
			between(a.beside.compute, b.beside.compute), between(a.beside.copy, b.beside.copy),
		},
	}
}
