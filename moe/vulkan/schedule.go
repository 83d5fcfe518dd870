package vulkan

import "ufm/pager"

// op is one piece of a group's work: the uploads of some accesses, or the compute of
// some accesses. There is a timeline for the compute queue and one for each transfer
// queue. Uploads go to the transfer queues in turn: while one pays for the wait between
// two copies, the other keeps the link busy.
//
//	compute  ──[hits 1]──[hits 2]──────────[misses 1]──[misses 2]──
//	               │ slots free                ↑           ↑
//	transfer ──────└──────────[misses 1]───────┘─[misses 2]┘
type op struct {
	upload      bool
	first, last int       // accesses [first, last) of the plan
	queue       int       // of an upload: which transfer queue
	afterRead   uint64    // value of the compute timeline to wait for, 0: none
	afterWrite  transfers // values of the transfer timelines to wait for
	signal      uint64    // value of its own timeline when done
	half        uint64    // of an upload: likewise when half is done; 0: nobody asks
	afterHalf   transfers // values of halves to wait for
}

// transfers holds a value for each transfer queue, 0: none.
type transfers [maxTransfers]uint64

// maxTransfers is the most transfer queues that are used.
const maxTransfers = 2

// cover makes t cover all of u as well.
func (t *transfers) cover(u transfers) {
	for q := range t {
		t[q] = max(t[q], u[q])
	}
}

// scheduler turns plans into ops. It knows for every slot which compute read it last
// and which upload wrote it last, as values of the timelines; so a slot is
// overwritten only after its last reader, and read only after its upload, by waits on
// the device alone.
type scheduler struct {
	expertBytes int64
	stageBytes  int64       // of a staging buffer, where uploads may go through them; else 0
	queues      int         // transfer queues
	read        []uint64    // by slot: compute value of its last reader
	written     []transfers // by slot: transfer value of its last upload
	compute     uint64      // last value given out on the compute timeline
	transfer    uint64      // last value given out on the transfer timelines
	uploads     int         // given out
	ops         []op
	chunkOf     []int32 // by slot: 1 + the chunk of this group that uses it, while cutting
}

func newScheduler(slots, queues int, expertBytes int64) *scheduler {
	return &scheduler{
		expertBytes: expertBytes,
		queues:      queues,
		read:        make([]uint64, slots),
		written:     make([]transfers, slots),
		chunkOf:     make([]int32, slots),
	}
}

const (
	// Uploads are bundled up to this size: the kernels of a few small experts leave a
	// GPU idle, and would take longer than the link takes for the next expert.
	chunkBytes = 32 << 20
	// A group is not cut into more miss chunks than this.
	maxChunks = 64
)

// group schedules a plan whose hits come first. The ops come in an order in which a
// single queue can run them; they belong to the scheduler until its next call.
func (s *scheduler) group(plan pager.Plan) []op {
	s.ops = s.ops[:0]
	for first := 0; first < plan.Hits; {
		last := s.endOfHits(plan, first)
		s.computeOp(plan, first, last)
		first = last
	}
	chunk := s.missChunk(plan.Accesses[plan.Hits:])
	var half transfers
	for first, i := plan.Hits, 0; first < len(plan.Accesses); i++ {
		last := s.endOfMisses(plan, first, chunk)
		switch {
		case i == 0 && s.staggers(len(plan.Accesses)-first, chunk):
			half = s.uploadInHalves(plan.Accesses, first, last)
		default:
			s.uploadOp(plan.Accesses, first, last).afterHalf = half
			half = transfers{}
		}
		s.computeOp(plan, first, last)
		first = last
	}
	return s.ops
}

// staggers reports whether a group's second upload begins when half of the first is there.
// Two queues share the link evenly, so that uploads which begin together end together, and
// then neither queue copies; from such a beginning on they take turns with their ends.
func (s *scheduler) staggers(misses, chunk int) bool {
	const enough = 6 // uploads that make up for what the beginning costs
	return s.queues == maxTransfers && s.stageBytes == 0 && misses >= enough*chunk
}

// uploadInHalves schedules an upload that tells when half of it is done.
func (s *scheduler) uploadInHalves(accesses []pager.Access, first, last int) (half transfers) {
	s.transfer++
	value := s.transfer
	o := s.uploadOp(accesses, first, last)
	o.half, half[o.queue] = value, value
	return half
}

// singly schedules a plan of any order access by access, runs of hits together: for the
// modes that wait for every upload.
func (s *scheduler) singly(plan pager.Plan) []op {
	s.ops = s.ops[:0]
	for first := 0; first < len(plan.Accesses); {
		last := first + 1
		if plan.Accesses[first].Hit {
			for last < len(plan.Accesses) && plan.Accesses[last].Hit {
				last++
			}
		} else {
			s.uploadOp(plan.Accesses, first, last)
		}
		s.computeOp(plan, first, last)
		first = last
	}
	return s.ops
}

// prefetch schedules uploads that belong to no group yet.
func (s *scheduler) prefetch(accesses []pager.Access) op {
	s.ops = s.ops[:0]
	s.uploadOp(accesses, 0, len(accesses))
	return s.ops[0]
}

// next gives out a value of the compute timeline for work between groups.
func (s *scheduler) next() uint64 {
	s.compute++
	return s.compute
}

// endOfHits cuts the hits so that slots which misses of this group take are free early.
// The first chunk is an eighth of the misses: where memory is at least seven times as
// fast as the link, that costs less than 2 % of the upload time. Then chunks double.
func (s *scheduler) endOfHits(plan pager.Plan, first int) int {
	misses := plan.Accesses[plan.Hits:]
	if !evictsMember(plan) {
		return plan.Hits
	}
	size := max(1, len(misses)/8, first)
	return min(first+size, plan.Hits)
}

// evictsMember reports whether a miss takes the slot of one of the plan's hits.
func evictsMember(plan pager.Plan) bool {
	hits := plan.Accesses[:plan.Hits]
	for _, m := range plan.Accesses[plan.Hits:] {
		if m.Evicted == pager.NoExpert {
			continue
		}
		lo, hi := 0, len(hits) // hits ascend
		for lo < hi {
			mid := (lo + hi) / 2
			if hits[mid].Expert < m.Evicted {
				lo = mid + 1
			} else {
				hi = mid
			}
		}
		if lo < len(hits) && hits[lo].Expert == m.Evicted {
			return true
		}
	}
	return false
}

// missChunk is the number of misses that are uploaded and computed together: where slots come
// up again, at most a quarter of those, so that two chunks share the link while two compute.
func (s *scheduler) missChunk(misses []pager.Access) int {
	through := 0
	for _, a := range misses {
		if s.chunkOf[a.Slot] == 0 {
			s.chunkOf[a.Slot] = 1
			through++
		}
	}
	for _, a := range misses {
		s.chunkOf[a.Slot] = 0
	}
	bundle := s.bundle()
	if through < len(misses) {
		bundle = min(bundle, through/4)
	}
	return max(1, bundle, (len(misses)+maxChunks-1)/maxChunks)
}

// bundle is the number of experts that are copied together where nothing else matters.
func (s *scheduler) bundle() int { return max(1, int(chunkBytes/max(s.expertBytes, 1))) }

// endOfMisses ends a chunk before a slot comes up twice in it.
func (s *scheduler) endOfMisses(plan pager.Plan, first, chunk int) int {
	mark := int32(first + 1)
	last := first
	for last < len(plan.Accesses) && last-first < chunk {
		slot := plan.Accesses[last].Slot
		if s.chunkOf[slot] == mark {
			break
		}
		s.chunkOf[slot] = mark
		last++
	}
	for _, a := range plan.Accesses[first:last] {
		s.chunkOf[a.Slot] = 0
	}
	return last
}

// pieces is the most staging buffers that so many experts take, each of which signals a value
// of its own; 1 without them.
func (s *scheduler) pieces(experts int) int {
	if s.stageBytes == 0 {
		return 1
	}
	return int((int64(experts)*s.expertBytes + s.stageBytes - 1) / s.stageBytes)
}

func (s *scheduler) uploadOp(accesses []pager.Access, first, last int) *op {
	s.uploads++
	s.transfer += uint64(s.pieces(last - first))
	o := op{
		upload: true, first: first, last: last,
		queue: s.uploads % s.queues, signal: s.transfer,
	}
	for _, a := range accesses[first:last] {
		o.afterRead = max(o.afterRead, s.read[a.Slot])
		o.afterWrite.cover(s.written[a.Slot])
		s.written[a.Slot] = transfers{}
		s.written[a.Slot][o.queue] = o.signal
	}
	s.ops = append(s.ops, o)
	return &s.ops[len(s.ops)-1]
}

func (s *scheduler) computeOp(plan pager.Plan, first, last int) {
	o := op{first: first, last: last, signal: s.next()}
	for _, a := range plan.Accesses[first:last] {
		o.afterWrite.cover(s.written[a.Slot])
		s.read[a.Slot] = o.signal
	}
	s.ops = append(s.ops, o)
}
