package moe

import (
	"sync"
	"time"

	"ufm/pager"
)

// overlap is the delivery of mode ufm, and of baseline, where it has nothing to copy:
// a second goroutine copies a group's misses while experts that are there compute.
//
//	copier    [miss 0 → slot 3][miss 1 → slot 0 .... wait][copy]...
//	compute   [hits, in chunks that free their slots][wait][miss 0]...
//
// The two are like two queues of a GPU: each works in order and counts what it has
// done, and a step of one waits for a count of the other. A copy waits for the last
// computation that reads its slot; a computation waits for its copy.
type overlap struct {
	pool      *cpuPool
	chunk     int        // most experts of one computation
	readers   []int      // (slots): accesses of this group up to the last that reads the slot
	transfers []transfer // this group's misses
	ready     []resident // scratch

	mu       sync.Mutex
	progress *sync.Cond // one of the counts has grown
	computed int        // accesses of this group that are computed
	copied   int        // misses of this group that are there
}

// transfer is one upload, which may begin when so many accesses are computed.
type transfer struct {
	expert pager.ExpertID
	slot   pager.Slot
	after  int
}

func newOverlap(pool *cpuPool, slots, threads int) *overlap {
	o := &overlap{pool: pool, chunk: 4 * threads, readers: make([]int, slots)}
	o.progress = sync.NewCond(&o.mu)
	return o
}

func (o *overlap) run(plan pager.Plan, compute func([]resident)) (stall time.Duration) {
	o.schedule(plan.Accesses)
	o.computed, o.copied = 0, 0
	var copier sync.WaitGroup
	if len(o.transfers) > 0 {
		copier.Go(o.copyAll)
	}
	misses := 0
	for done := 0; done < len(plan.Accesses); {
		next := plan.Accesses[done:]
		if !next[0].Hit {
			start := time.Now()
			o.wait(&o.copied, misses+1)
			stall += time.Since(start)
		}
		n, copies := o.takeReady(next, misses)
		compute(o.ready)
		done, misses = done+n, misses+copies
		o.advance(&o.computed, done)
	}
	copier.Wait()
	return stall
}

// schedule works out after which access each miss may be copied.
func (o *overlap) schedule(accesses []pager.Access) {
	clear(o.readers)
	o.transfers = o.transfers[:0]
	for i, a := range accesses {
		if !a.Hit {
			o.transfers = append(o.transfers, transfer{a.Expert, a.Slot, o.readers[a.Slot]})
		}
		o.readers[a.Slot] = i + 1
	}
}

// copyAll is the copier.
func (o *overlap) copyAll() {
	for i, t := range o.transfers {
		o.wait(&o.computed, t.after)
		o.pool.upload(t.expert, t.slot)
		o.advance(&o.copied, i+1)
	}
}

// takeReady puts the accesses that can be computed now in o.ready, at most a chunk of
// them. misses have been computed before. It returns how many and how many are misses.
func (o *overlap) takeReady(accesses []pager.Access, misses int) (n, copies int) {
	o.mu.Lock()
	copied := o.copied
	o.mu.Unlock()
	o.ready = o.ready[:0]
	for _, a := range accesses[:min(o.chunk, len(accesses))] {
		if !a.Hit {
			if misses+copies == copied {
				break
			}
			copies++
		}
		o.ready = append(o.ready, o.pool.resident(a.Expert, a.Slot))
	}
	return len(o.ready), copies
}

// wait returns when a count has reached a value.
func (o *overlap) wait(count *int, value int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for *count < value {
		o.progress.Wait()
	}
}

// advance sets a count and wakes who waits for it.
func (o *overlap) advance(count *int, value int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	*count = value
	o.progress.Broadcast()
}
