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
	upload     bool
	accesses   []pager.Access
	queue      int       // of an upload: which transfer queue
	afterRead  uint64    // value of the compute timeline to wait for, 0: none
	afterWrite transfers // values of the transfer timelines to wait for
	signal     uint64    // value of its own timeline when done
	half       uint64    // of an upload: likewise when half is done; 0: nobody asks
	afterHalf  transfers // values of halves to wait for
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
	hits        []pager.Access // of the group under way, in the order of their computes
	chunkOf     []int32        // by slot: a mark, or 1 + a hit of this group, while cutting
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
	// So many bundles are twice as large: each costs the host some 20 µs before the first
	// can begin.
	manyChunks = 8
	// A group is not cut into more miss chunks than this.
	maxChunks = 64
)

// group schedules a plan whose hits come first. The ops come in an order in which a
// single queue can run them; they belong to the scheduler until its next call.
func (s *scheduler) group(plan pager.Plan) []op {
	s.ops = s.ops[:0]
	misses := plan.Accesses[plan.Hits:]
	leaving, chunk := s.orderHits(plan.Accesses[:plan.Hits], misses), s.missChunk(misses)
	first := max(min(chunk, leaving), len(misses)/8) // hits of the first chunk
	for rest := s.hits; len(rest) > 0; {
		n := endOfHits(len(rest), len(s.hits)-len(rest), leaving, first)
		s.computeOp(rest[:n])
		rest = rest[n:]
	}
	var half transfers
	for rest := misses; len(rest) > 0; {
		n := s.endOfMisses(rest, chunk)
		switch {
		case len(rest) == len(misses) && s.staggers(len(misses), chunk):
			half = s.uploadInHalves(rest[:n])
		default:
			s.uploadOp(rest[:n]).afterHalf = half
			half = transfers{}
		}
		s.computeOp(rest[:n])
		rest = rest[n:]
	}
	return s.ops
}

// orderHits puts the hits whose slots misses take before the others, in the order in which they
// leave, and counts them: the first upload waits for the first compute then, not for whichever
// has its slot. The pager's decisions know nothing of it.
func (s *scheduler) orderHits(hits, misses []pager.Access) (leaving int) {
	s.hits = append(s.hits[:0], hits...)
	if len(misses) == 0 {
		return 0
	}
	for i, h := range hits {
		s.chunkOf[h.Slot] = int32(1 + i)
	}
	for _, m := range misses {
		if i := s.chunkOf[m.Slot]; i > 0 {
			s.hits[leaving] = hits[i-1]
			s.chunkOf[m.Slot] = 0
			leaving++
		}
	}
	next := leaving
	for _, h := range hits {
		if s.chunkOf[h.Slot] > 0 {
			s.hits[next] = h
			s.chunkOf[h.Slot] = 0
			next++
		}
	}
	return leaving
}

// staggers reports whether a group's second upload begins when half of the first is there.
// Two queues share the link evenly, so that uploads which begin together end together, and
// then neither queue copies; from such a beginning on they take turns with their ends.
func (s *scheduler) staggers(misses, chunk int) bool {
	const enough = 6 // uploads that make up for what the beginning costs
	return s.queues == maxTransfers && s.stageBytes == 0 && misses >= enough*chunk
}

// uploadInHalves schedules an upload that tells when half of it is done.
func (s *scheduler) uploadInHalves(accesses []pager.Access) (half transfers) {
	s.transfer++
	value := s.transfer
	o := s.uploadOp(accesses)
	o.half, half[o.queue] = value, value
	return half
}

// singly schedules a plan of any order access by access, runs of hits together: for the
// modes that wait for every upload.
func (s *scheduler) singly(plan pager.Plan) []op {
	s.ops = s.ops[:0]
	for rest := plan.Accesses; len(rest) > 0; {
		n := 1
		if rest[0].Hit {
			for n < len(rest) && rest[n].Hit {
				n++
			}
		} else {
			s.uploadOp(rest[:n])
		}
		s.computeOp(rest[:n])
		rest = rest[n:]
	}
	return s.ops
}

// prefetch schedules uploads that belong to no group yet.
func (s *scheduler) prefetch(accesses []pager.Access) op {
	s.ops = s.ops[:0]
	return *s.uploadOp(accesses)
}

// ran tells that the compute given out last has read the slots of accesses, without being asked for.
func (s *scheduler) ran(accesses []pager.Access) {
	for _, a := range accesses {
		s.read[a.Slot] = s.compute
	}
}

// next gives out a value of the compute timeline for work between groups.
func (s *scheduler) next() uint64 {
	s.compute++
	return s.compute
}

// endOfHits cuts the hits so that slots which misses of this group take are free early, and
// returns how many of the rest come next. The first chunk frees the slots of the first upload,
// or of an eighth of all: where memory is seven times as fast as the link that eighth costs 2 %
// of the uploads' time, and less where it is faster. Then chunks are three times as much as
// all before, for more is free by then than the link can fill, and the last has all that stay.
func endOfHits(rest, done, leaving, first int) int {
	if leaving <= done {
		return rest
	}
	return min(max(first, 3*done), rest)
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
	if twice := bundleOf(2*chunkBytes, s.expertBytes); len(misses) >= manyChunks/2*twice {
		bundle = twice
	}
	if through < len(misses) {
		bundle = min(bundle, through/4)
	}
	return max(1, bundle, (len(misses)+maxChunks-1)/maxChunks)
}

// bundle is the number of experts that are copied together where nothing else matters.
func (s *scheduler) bundle() int { return bundleOf(chunkBytes, s.expertBytes) }

func bundleOf(bytes, expertBytes int64) int { return max(1, int(bytes/max(expertBytes, 1))) }

// endOfMisses ends a chunk before a slot comes up twice in it.
func (s *scheduler) endOfMisses(misses []pager.Access, chunk int) int {
	n := 0
	for n < min(len(misses), chunk) && s.chunkOf[misses[n].Slot] == 0 {
		s.chunkOf[misses[n].Slot] = 1
		n++
	}
	for _, a := range misses[:n] {
		s.chunkOf[a.Slot] = 0
	}
	return n
}

// pieces is the most staging buffers that so many experts take, each of which signals a value
// of its own; 1 without them.
func (s *scheduler) pieces(experts int) int {
	if s.stageBytes == 0 {
		return 1
	}
	return int((int64(experts)*s.expertBytes + s.stageBytes - 1) / s.stageBytes)
}

func (s *scheduler) uploadOp(accesses []pager.Access) *op {
	s.uploads++
	s.transfer += uint64(s.pieces(len(accesses)))
	o := op{
		upload: true, accesses: accesses, queue: s.uploads % s.queues, signal: s.transfer,
	}
	for _, a := range accesses {
		o.afterRead = max(o.afterRead, s.read[a.Slot])
		o.afterWrite.cover(s.written[a.Slot])
		s.written[a.Slot] = transfers{}
		s.written[a.Slot][o.queue] = o.signal
	}
	s.ops = append(s.ops, o)
	return &s.ops[len(s.ops)-1]
}

func (s *scheduler) computeOp(accesses []pager.Access) {
	o := op{accesses: accesses, signal: s.next()}
	for _, a := range accesses {
		o.afterWrite.cover(s.written[a.Slot])
		s.read[a.Slot] = o.signal
	}
	s.ops = append(s.ops, o)
}

// manyUploads are recorded beside computes; fewer are sooner on their way before them, for other
// goroutines take 0.1 ms to wake up on an H100's host.
const manyUploads = 5

func uploadsOf(ops []op) (n int) {
	for _, o := range ops {
		if o.upload {
			n++
		}
	}
	return n
}
