package moe

import (
	"sync"
	"time"

	"ufm/pager"
)

// overlap is the delivery of mode ufm, and of baseline, where it has nothing to copy:
// a second goroutine copies experts while others that are there compute.
//
//	copier    [miss 0 → slot 3][miss 1 → slot 0 .... wait][copy][prefetch → slot 2]...
//	compute   [hits, in chunks that free their slots][wait][miss 0]...
//
// The two are like two queues of a GPU: each works in order and counts what it has
// done, and a step of one waits for a count of the other. A copy waits for the last
// computation that reads its slot; a computation waits for the copy that it reads.
// Prefetches may still be copied when the next group begins, or the next step.
type overlap struct {
	pool    *cpuPool
	chunk   int     // most experts of one computation
	readers []int64 // (slots): the last access that reads the slot, counted from 1
	landing []int64 // (slots): the last copy into the slot, counted from 1
	decided int64   // accesses of all groups so far
	issued  int64   // copies so far
	needs   []int64 // (accesses of the group): the copy that each has to wait for
	ready   []resident

	mu       sync.Mutex
	progress *sync.Cond // one of what follows has changed
	computed int64      // accesses that are computed
	copied   int64      // copies that are done
	queue    []transfer // copies that are not
	copying  bool       // the copier is at work
}

// transfer is one copy, which may begin when so many accesses are computed.
type transfer struct {
	expert pager.ExpertID
	slot   pager.Slot
	after  int64
}

// newOverlap makes an uploader; it works once it has a pool.
func newOverlap() *overlap {
	o := &overlap{}
	o.progress = sync.NewCond(&o.mu)
	return o
}

func (o *overlap) use(pool *cpuPool, slots, threads int) {
	o.pool, o.chunk = pool, 4*threads
	o.readers, o.landing = make([]int64, slots), make([]int64, slots)
}

// Upload copies prefetches as soon as their slots are free. Misses have come with their
// plan.
func (o *overlap) Upload(batch []pager.Upload, prefetch bool) error {
	if !prefetch {
		return nil
	}
	for _, up := range batch {
		o.issue(up.Expert, up.Slot)
	}
	return nil
}

// Uploaded tells whether a slot's last copy is done.
func (o *overlap) Uploaded(s pager.Slot) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.copied >= o.landing[s]
}

// start issues the copies of a group's misses.
func (o *overlap) start(plan pager.Plan) {
	o.needs = o.needs[:0]
	for _, a := range plan.Accesses {
		if !a.Hit {
			o.issue(a.Expert, a.Slot)
		}
		o.decided++
		o.readers[a.Slot] = o.decided
		o.needs = append(o.needs, o.landing[a.Slot])
	}
}

// issue queues a copy and sees that somebody copies.
func (o *overlap) issue(e pager.ExpertID, s pager.Slot) {
	o.issued++
	o.landing[s] = o.issued
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue = append(o.queue, transfer{e, s, o.readers[s]})
	if !o.copying {
		o.copying = true
		go o.copyAll()
	}
}

// finish computes the group that was started last.
func (o *overlap) finish(plan pager.Plan, compute func([]resident)) (stall time.Duration) {
	before := o.decided - int64(len(plan.Accesses))
	for done := 0; done < len(plan.Accesses); {
		stall += o.await(&o.copied, o.needs[done])
		done += o.takeReady(plan.Accesses, done)
		compute(o.ready)
		o.mu.Lock()
		o.computed = before + int64(done)
		o.progress.Broadcast()
		o.mu.Unlock()
	}
	return stall
}

// copyAll is the copier. It ends when nothing is left to copy.
func (o *overlap) copyAll() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.queue) > 0 {
		t := o.queue[0]
		o.queue = append(o.queue[:0], o.queue[1:]...)
		for o.computed < t.after {
			o.progress.Wait()
		}
		o.mu.Unlock()
		o.pool.upload(t.expert, t.slot)
		o.mu.Lock()
		o.copied++
		o.progress.Broadcast()
	}
	o.copying = false
	o.progress.Broadcast()
}

// takeReady puts the accesses from done on that can be computed now in o.ready, at most
// a chunk of them, and returns how many.
func (o *overlap) takeReady(accesses []pager.Access, done int) int {
	o.mu.Lock()
	copied := o.copied
	o.mu.Unlock()
	o.ready = o.ready[:0]
	for i := done; i < min(done+o.chunk, len(accesses)) && o.needs[i] <= copied; i++ {
		o.ready = append(o.ready, o.pool.resident(accesses[i].Expert, accesses[i].Slot))
	}
	return len(o.ready)
}

// await returns when a count has reached a value, and how long that took.
func (o *overlap) await(count *int64, value int64) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	if *count >= value {
		return 0
	}
	start := time.Now()
	for *count < value {
		o.progress.Wait()
	}
	return time.Since(start)
}

// close waits for the copier.
func (o *overlap) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.copying {
		o.progress.Wait()
	}
}
