package vulkan

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"ufm/pager"
)

// machine is a model of a device: a compute queue and transfer queues that start their
// ops in the order of submission, let them overlap as they like, and know nothing but
// the waits. It picks every legal interleaving with some probability.
type machine struct {
	rng      *rand.Rand
	queues   [][]*task
	compute  uint64   // timeline values reached
	transfer []uint64 // by transfer queue
	content  []pager.ExpertID
	writers  []int // by slot: uploads under way
	readers  []int // by slot: computes under way
}

type task struct {
	op       op
	accesses []pager.Access
	queue    int // 0: compute, others transfer
	started  bool
	done     bool
}

// step starts or ends one task and reports whether anything was left to do.
func (m *machine) step() (bool, error) {
	type move struct {
		t   *task
		end bool
	}
	var moves []move
	left := false
	for _, q := range m.queues {
		inOrder := true
		for _, t := range q {
			if t.done {
				continue
			}
			left = true
			if t.started {
				moves = append(moves, move{t, true})
			} else if inOrder && m.ready(t) {
				moves = append(moves, move{t, false})
			}
			inOrder = inOrder && t.started
		}
	}
	if !left {
		return false, nil
	}
	if len(moves) == 0 {
		return true, fmt.Errorf("deadlock")
	}
	pick := moves[m.rng.IntN(len(moves))]
	if pick.end {
		return true, m.end(pick.t)
	}
	return true, m.start(pick.t)
}

func (m *machine) ready(t *task) bool {
	if m.compute < t.op.afterRead {
		return false
	}
	for q, v := range t.op.afterWrite {
		if v > 0 && m.transfer[q] < v {
			return false
		}
		if v := t.op.afterHalf[q]; v > 0 && m.transfer[q] < v { // at the latest
			return false
		}
	}
	return true
}

func (m *machine) start(t *task) error {
	t.started = true
	for _, a := range t.accesses {
		if t.op.upload {
			if m.readers[a.Slot] > 0 {
				return fmt.Errorf("slot %d is written while it is read", a.Slot)
			}
			m.writers[a.Slot]++
			continue
		}
		if m.writers[a.Slot] > 0 || m.content[a.Slot] != a.Expert {
			return fmt.Errorf("expert %d computes from slot %d, which holds %d",
				a.Expert, a.Slot, m.content[a.Slot])
		}
		m.readers[a.Slot]++
	}
	return nil
}

func (m *machine) end(t *task) error {
	t.done = true
	for _, a := range t.accesses {
		if !t.op.upload {
			m.readers[a.Slot]--
			continue
		}
		if m.readers[a.Slot] > 0 {
			return fmt.Errorf("slot %d is read while it is written", a.Slot)
		}
		m.writers[a.Slot]--
		m.content[a.Slot] = a.Expert
	}
	m.signal()
	return nil
}

// signal advances each timeline past the tasks whose predecessors on the queue are done
// too: a signal covers everything submitted before it.
func (m *machine) signal() {
	for _, tasks := range m.queues {
		for _, t := range tasks {
			if !t.done {
				break
			}
			if t.queue == 0 && !t.op.upload {
				m.compute = t.op.signal
			} else if t.op.upload {
				m.transfer[t.op.queue] = t.op.signal
			}
		}
	}
}

// submit puts a group's ops on the queues.
func (m *machine) submit(ops []op) {
	for _, o := range ops {
		queue := 0
		if o.upload && len(m.queues) > 1 {
			queue = 1 + o.queue
		}
		mine := append([]pager.Access(nil), o.accesses...)
		m.queues[queue] = append(m.queues[queue], &task{op: o, accesses: mine, queue: queue})
	}
}

// TestScheduleIsLegal runs random groups through the pager and the scheduler and plays
// the ops in random legal orders: no compute may read a slot that does not hold its
// expert, no upload may touch a slot that is being read, and everything must end.
func TestScheduleIsLegal(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 7))
		if err := playSchedule(rng, nil); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// TestScheduleModelCatches proves that the model sees hazards: without the waits it
// must find one.
func TestScheduleModelCatches(t *testing.T) {
	for name, breakOp := range map[string]func(*op){
		"upload does not wait for readers": func(o *op) {
			if o.upload {
				o.afterRead = 0
			}
		},
		"compute does not wait for its upload": func(o *op) {
			if !o.upload {
				o.afterWrite = transfers{}
			}
		},
	} {
		caught := false
		for seed := range uint64(100) {
			caught = caught || playSchedule(rand.New(rand.NewPCG(seed, 7)), breakOp) != nil
		}
		if !caught {
			t.Errorf("%s: not noticed", name)
		}
	}
}

func playSchedule(rng *rand.Rand, breakOp func(*op)) error {
	shape := pager.Shape{Layers: 1 + rng.IntN(3), Experts: 2 + rng.IntN(12), TopK: 1}
	slots := 1 + rng.IntN(shape.Universe())
	p, err := pager.New(pager.Options{Shape: shape, Slots: slots})
	if err != nil {
		return err
	}
	queues := rng.IntN(3) // of transfers; 0: all on one queue
	s := newScheduler(slots, max(1, queues), int64(1+rng.IntN(64<<20)))
	if rng.IntN(2) == 0 {
		s.stageBytes = int64(1 + rng.IntN(64<<20))
	}
	m := &machine{
		rng: rng, queues: make([][]*task, 1+queues),
		content: make([]pager.ExpertID, slots),
		writers: make([]int, slots), readers: make([]int, slots),
	}
	m.transfer = make([]uint64, max(1, queues))
	for i := range m.content {
		m.content[i] = pager.NoExpert
	}
	for step := range 6 {
		for layer := range shape.Layers {
			plan, err := p.Request(randomGroup(rng, shape, step, layer))
			if err != nil {
				return err
			}
			ops := s.group(plan)
			for i := range ops {
				if breakOp != nil {
					breakOp(&ops[i])
				}
			}
			m.submit(ops)
			// The host waits for the compute of a group before it asks for the next one, but
			// not always for everything in the model: let some groups pile up.
			for n := rng.IntN(40); n > 0; n-- {
				if left, err := m.step(); err != nil {
					return err
				} else if !left {
					break
				}
			}
		}
	}
	for {
		if left, err := m.step(); err != nil || !left {
			return err
		}
	}
}

func randomGroup(rng *rand.Rand, shape pager.Shape, step, layer int) pager.Group {
	g := pager.Group{Step: step, Layer: layer}
	for len(g.Experts) == 0 {
		for i := range shape.Experts {
			if rng.IntN(3) > 0 {
				g.Experts = append(g.Experts, shape.ID(layer, i))
			}
		}
	}
	return g
}

// TestScheduleSingleQueueOrder checks that no op waits for a signal that comes later in
// the list: on one queue that would never end.
func TestScheduleSingleQueueOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	shape := pager.Shape{Layers: 2, Experts: 9, TopK: 2}
	for slots := 1; slots <= shape.Universe(); slots++ {
		p, err := pager.New(pager.Options{Shape: shape, Slots: slots})
		if err != nil {
			t.Fatal(err)
		}
		s := newScheduler(slots, 1, 16<<20)
		var compute, transfer uint64
		for step := range 20 {
			plan, err := p.Request(randomGroup(rng, shape, step, step%2))
			if err != nil {
				t.Fatal(err)
			}
			var computed []pager.Access
			for _, o := range s.group(plan) {
				if o.afterRead > compute || o.afterWrite[0] > transfer {
					t.Fatalf("slots %d, step %d: op %+v waits for a later signal", slots, step, o)
				}
				if o.upload {
					transfer = o.signal
					continue
				}
				compute = o.signal
				computed = append(computed, o.accesses...)
			}
			slices.SortFunc(computed[:plan.Hits], func(a, b pager.Access) int {
				return cmp.Compare(a.Expert, b.Expert)
			})
			if !slices.Equal(computed, plan.Accesses) {
				t.Fatalf("slots %d, step %d: computed %v of %v", slots, step, computed, plan.Accesses)
			}
		}
	}
}

// TestHitsThatLeaveComputeFirst: the first upload waits for the first compute, whichever hit has
// its slot, and the hits that leave compute in the order in which misses take their slots.
func TestHitsThatLeaveComputeFirst(t *testing.T) {
	const hits = 60
	plan := pager.Plan{Hits: hits}
	for e := range pager.ExpertID(hits) {
		plan.Accesses = append(plan.Accesses, pager.Access{Expert: e, Slot: pager.Slot(e), Hit: true})
	}
	leaving := []pager.Slot{59, 3, 58, 20, 57, 0, 40, 56, 55, 54, 53, 52, 51, 50, 49, 48}
	for i, s := range leaving {
		plan.Accesses = append(plan.Accesses, pager.Access{
			Expert: hits + pager.ExpertID(i), Slot: s, Evicted: pager.ExpertID(s),
		})
	}
	s := newScheduler(hits, maxTransfers, 128<<20)
	ops := s.group(plan)
	var computed []pager.Access
	uploads, first := 0, ops[0].signal
	for _, o := range ops {
		if !o.upload {
			computed = append(computed, o.accesses...)
			continue
		}
		if uploads++; uploads <= maxTransfers && o.afterRead != first {
			t.Errorf("upload %d waits for compute %d, want the first, %d", uploads, o.afterRead, first)
		}
	}
	for i, want := range leaving {
		if got := computed[i].Slot; got != want {
			t.Errorf("compute %d: slot %d, want %d", i, got, want)
		}
	}
	rest := computed[len(leaving):hits]
	if !slices.IsSortedFunc(rest, func(a, b pager.Access) int { return cmp.Compare(a.Expert, b.Expert) }) {
		t.Errorf("hits that stay: got %v, want them ascending", rest)
	}
	if got, want := len(ops[0].accesses), len(leaving)/8; got != want {
		t.Errorf("the first chunk: got %d hits, want %d, an eighth of the misses", got, want)
	}
	plan.Accesses = plan.Accesses[:hits+3]
	s = newScheduler(hits, maxTransfers, 4<<20) // so that one upload has all three
	if got := len(s.group(plan)[0].accesses); got != 3 {
		t.Errorf("three misses: the first chunk has %d hits, want just the three that leave", got)
	}
}
