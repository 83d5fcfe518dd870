//go:build cgo && linux

package vulkan

import (
	"encoding/binary"
	"errors"
	"fmt"

	"ufm/moe"
	"ufm/vk"
)

// A single token, as in decode, leaves most of a device idle, and a barrier costs it about as
// much as a product. So its way through the model is a list of ops that one dispatch of
// token.comp works through, on devices that run its workgroups side by side; on others each op
// is a dispatch of its own. The list does not change from token to token.

// The ops, field for field as in the shaders.
type (
	opProduct struct {
		Kind, Groups                                                        uint32
		Weight, Gate, X, Dst, Tiles, Base, Weights, Norm, H, Squares, Route uint64
		Source, DType, Matrices, Inputs, Outputs, Part, Parts               uint32
		Lanes, XParts, Rows, DModel                                         uint32
		Epsilon                                                             float32
		Heads, Most                                                         uint32
	}
	opRoute struct {
		Kind, Groups                                               uint32
		Gate, Given, Slots, Base, Alone, Added, Norm, H, X, Logits uint64
		Counter, Weights, Tiles, Counts, IDs, IDWeights, Predicted uint64
		Parts, Normalize, DModel                                   uint32
		Epsilon                                                    float32
	}
	opCombine struct {
		Kind, Groups       uint32
		Y, Base, Next, Moe uint64
		Parts, DModel      uint32
	}
	opEmbed struct {
		Kind, Groups      uint32
		Embedding, IDs, H uint64
		DType, Vocab      uint32
	}
	opAttend struct {
		Kind, Groups                                             uint32
		QKV, Squares, Keys, Values, Turns, QNorm, KNorm          uint64
		Acc, State                                               uint64
		Heads, PerKey, Parts, Width, Context, Most, Norm, DModel uint32
		Epsilon, Scale                                           float32
	}
	pushToken struct {
		Ops, Meeting, Report, Tiles                  uint64
		Rows, First, Last, Position, Flags, Patience uint32
	}
)

const (
	opBytes = 192 // of each, padded

	kindProduct, kindRoute, kindCombine, kindEmbed, kindAttend = 0, 1, 2, 3, 4

	sourcePlain, sourceStream, sourceGELU, sourceSwiGLU, sourceAttended = 0, 1, 2, 3, 4

	flagGiven, flagPlanned, flagPredict, flagChained = 1, 2, 4, 8
	flagKept, flagDeferred, flagUntil                = 16, 32, 64

	routeEach    = 4  // logits of a group of a route
	attendShare  = 16 // threads that share a position in attention
	maxSplits    = 32 // of the past
	meetingBytes = 8  // struct Meeting

	reportLost, reportStopped = 0, 1 // words of struct Report
)

// tuning says how the work of a token is cut: by the kind of device alone, so that its sums
// have the same order in every run.
type tuning struct {
	threads int
	workers int // workgroups that are expected to run side by side
	setup   int // weights that a workgroup could read while it begins and ends an item
	read    int // and while a reader's workgroups read another part of their inputs
}

func newTuning(info vk.DeviceInfo) tuning {
	if info.Kind == cpuKind {
		return tuning{threads: 64, workers: 16}
	}
	return tuning{threads: 256, workers: 264, setup: 12 << 10, read: 2 << 10}
}

// mostInputs are those of a part of a product, unless it must have one part.
const mostInputs = 2048

// pieces are how a product is cut into items.
type pieces struct{ inputs, outputs, matrices, lanes, tiles, part, parts int }

// job is a product of so many rows that run together.
type job struct {
	inputs, outputs, matrices, rows int
	staged                          int // values that a workgroup reads for each input
	read                            int // values that a reader needs of each part of an output
}

// cut cuts a product so that the workers end soonest: few large items may leave some idle, many
// small ones cost each its setup, and parts are work for whoever reads them.
func (t tuning) cut(j job) (best pieces) {
	least := 0
	fewest := over(j.inputs, mostInputs)
	for parts := fewest; parts <= max(maxParts, fewest); parts++ {
		for lanes := 8; lanes <= t.threads/4; lanes *= 2 {
			c := t.pieces(j.inputs, j.outputs, j.matrices, lanes, pad8(over(j.inputs, parts)))
			rounds := over(c.items()*j.rows, t.workers)
			cost := rounds*(c.part*(4*lanes+j.staged)+t.setup) + c.parts*j.read*t.read
			if least == 0 || cost < least {
				best, least = c, cost
			}
		}
	}
	return best
}

// whole cuts a product whose inputs stay together: the head, of which a workgroup has many items,
// and does well with wide ones.
func (t tuning) whole(inputs, outputs int) pieces {
	return t.pieces(inputs, outputs, 1, 16, inputs)
}

func (t tuning) pieces(inputs, outputs, matrices, lanes, part int) pieces {
	return pieces{inputs: inputs, outputs: outputs, matrices: matrices, lanes: lanes,
		tiles: over(outputs, 4*lanes), part: part, parts: over(inputs, part)}
}

// runsTokens reports whether token.comp serves single tokens; without it they are batches of one.
// A CPU driver walks through all of the kernel for each op, masked out, and takes ten times as
// long: there only tests use it.
func (b *backend) runsTokens(s moe.Shape, dim, heads, most int) bool {
	info := b.device.Info()
	return newTuning(info).shared(s, dim, heads, most) <= info.MaxSharedMemory &&
		(info.Kind != cpuKind || b.together != 0)
}

// shared is about the shared memory of token.comp, in bytes.
func (t tuning) shared(s moe.Shape, dim, heads, most int) int {
	const structs = 3 * opBytes
	pool := 16 * max(most/4+t.threads, 2*t.threads)
	router := 16*s.Experts + 20*s.TopK
	attention := 4*(heads+2)*dim + 4*heads*t.threads/attendShare + 16*heads
	return structs + pool + 8*t.threads + router + attention
}

// items are those of one row.
func (c pieces) items() int { return c.matrices * c.tiles * c.parts }

// values are those that one row leaves.
func (c pieces) values() int64 { return int64(c.matrices * c.parts * c.outputs) }

// expertCuts are those of both products of a token's experts.
func (t tuning) expertCuts(s moe.Shape) (up, down pieces) {
	l, matrices := moe.NewLayout(s), 1
	if s.Form == moe.SwiGLU {
		matrices = 2
	}
	up = t.cut(job{l.In, l.Hidden, matrices, s.TopK, 1, matrices})
	return up, t.cut(job{l.Hidden, l.In, 1, s.TopK, matrices * up.parts, s.TopK})
}

// token is a list of ops and what they share.
type token struct {
	tuning
	pipeline *vk.Pipeline
	memory   *memory
	together int // workgroups that run side by side; 0: each op is a dispatch of its own
	kinds    []uint32
	groups   []int
	experts  []bool // they have groups for each row
	buf      []byte // scratch
}

// add appends an op, of which it needs the kind and the groups; those of experts are of a row.
func (t *token) add(kind, groups uint32, experts bool, op any) {
	var err error
	if t.buf, err = binary.Append(t.buf[:0], binary.LittleEndian, op); err != nil {
		panic(err) // a struct of this file
	}
	copy(t.memory.ops.Bytes()[len(t.kinds)*opBytes:], t.buf)
	t.kinds, t.groups = append(t.kinds, kind), append(t.groups, int(groups))
	t.experts = append(t.experts, experts)
}

// record records ops first to last; push says the rest.
func (t *token) record(c *vk.Commands, first, last int, push pushToken) {
	push.Ops = t.memory.ops.Address()
	push.Meeting, push.Report = t.memory.meeting.Address(), t.memory.report.Address()
	if t.together > 0 {
		push.First, push.Last, push.Patience = uint32(first), uint32(last), patience
		c.Dispatch(t.pipeline, pushBytes(push), t.together, 1, 1)
		return
	}
	for i := first; i < last; i++ {
		if i > first {
			c.DispatchBarrier()
		}
		push.First, push.Last = uint32(i), uint32(i+1)
		c.Dispatch(t.pipeline, pushBytes(push), t.workgroups(i, push), 1, 1)
	}
}

// workgroups are those that op i has work for.
func (t *token) workgroups(i int, push pushToken) int {
	const most = 1 << 14 // of a dispatch; the op's loop goes on from there
	n := t.groups[i]
	switch {
	case t.experts[i]:
		n *= int(push.Rows)
	case t.kinds[i] == kindRoute && push.Flags&flagPredict != 0:
		n *= 2
	case t.kinds[i] == kindAttend:
		n *= min(maxSplits, over(int(push.Position)+1, t.threads/attendShare))
	}
	return min(n, most)
}

// apart in place of a number of workgroups means an op a dispatch.
const apart = -1

// Rounds of a wait: in the middle of a token far more than any op takes; for a try some ten
// milliseconds.
const (
	patience    = 1 << 24
	tryPatience = 1 << 14
)

// errApart tells that workgroups which met in a try do not any more.
var errApart = errors.New("vulkan: the device has stopped running workgroups side by side")

// check tells whether all workgroups have met.
func (t *token) check() error {
	if t.memory.report.Words()[reportLost] != 0 {
		return errApart
	}
	return nil
}

// try finds out how many workgroups of the pipeline the device runs side by side, by letting
// them meet; run runs commands to their end. What fails is tried again, for another program
// may have had the device meanwhile.
func (t *token) try(run func(func(*vk.Commands)) error) (int, error) {
	m := t.memory
	meet := func(n int) (ok bool, err error) {
		for range 2 {
			clear(m.report.Words())
			err = run(func(c *vk.Commands) {
				m.recordMeeting(c)
				c.Dispatch(t.pipeline, pushBytes(pushToken{
					Meeting: m.meeting.Address(), Report: m.report.Address(), Patience: tryPatience,
				}), n, 1, 1)
				m.recordMeeting(c)
			})
			if ok = m.report.Words()[reportLost] == 0; ok || err != nil {
				break
			}
		}
		clear(m.report.Words())
		return ok, err
	}
	good, bad := 0, 1<<13
	for n := 64; good+1 < bad; n = (good + bad) / 2 {
		ok, err := meet(n)
		if err != nil {
			return 0, err
		}
		if ok {
			good = n
		} else {
			bad = n
		}
	}
	return good, nil
}

// opDType is a storage type as token.comp numbers it.
func opDType(t moe.DType) uint32 {
	switch t {
	case moe.F32:
		return 0
	case moe.F16:
		return 1
	case moe.BF16:
		return 2
	}
	panic(fmt.Sprintf("vulkan: storage type %v", t))
}

// log2 is the binary logarithm of a power of two.
func log2(n int) (l uint32) {
	for ; n > 1; n /= 2 {
		l++
	}
	return l
}
