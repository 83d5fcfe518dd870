package pager

import (
	"errors"
	"fmt"
	"sync"
)

// Order is the order in which the experts of a group are decided and executed.
type Order uint8

const (
	// ResidentFirst takes the experts that are resident when the group arrives, then
	// the others, both ascending: the residents' compute hides the first uploads, and
	// no miss can turn a later member's hit into a miss.
	ResidentFirst Order = iota
	// Ascending takes the experts by id and decides each when its turn comes. A
	// resident member may be evicted by an earlier one, and is then a miss.
	Ascending
)

// String is "resident-first" or "ascending", as in event logs.
func (o Order) String() string {
	if o == Ascending {
		return "ascending"
	}
	return "resident-first"
}

// Options says what a pager is for.
type Options struct {
	Shape    Shape
	Slots    int          // of the pool; more than the universe means all of it
	Policy   Policy       // made for this shape and pool; nil: nextuse
	Order    Order        // zero: ResidentFirst
	Uploader Uploader     // nil: decisions only, nothing is copied
	Observe  func(*Event) // called for each group as soon as it is decided; may be nil
}

// Pager keeps some of a model's experts resident in a pool of slots.
type Pager struct {
	shape    Shape
	order    Order
	policy   Policy
	expecter Expecter // policy, if it wants to know what it makes room for
	uploader Uploader
	progress Progress // uploader, if it can tell late hits
	observe  func(*Event)
	failed   error // of the uploader; every later call returns it

	slotOf  []Slot     // (universe): where an expert is, or noSlot
	held    []ExpertID // (slots): what a slot holds, or NoExpert
	unused  []bool     // (slots): prefetched and not yet executed
	filled  int        // slots 0..filled-1 hold experts: a slot once filled stays so
	asked   []int      // (universe): 1 + the number of the group before which it was last prefetched
	guarded int        // residents that prefetches before the next group may not evict

	plan      []Access   // of the last group
	wanted    []ExpertID // of the last group, not resident when it arrived
	batch     []Upload   // for the uploader
	aside     []ExpertID // victims that a prefetch has to put back
	event     Event      // of the last group; its Prefetches gather for the next one
	unplanned bool       // RequestAll is at work, which wants no plan
	each      struct {   // scratch of RequestEach
		layer  int
		expert [1]ExpertID
	}

	count  Stats // so far, this goroutine's own
	mu     sync.Mutex
	public Stats // copy of count for other goroutines, guarded by mu
}

const noSlot = Slot(-1)

// New makes a pager whose slots are all free.
func New(opts Options) (*Pager, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	s := opts.Shape
	slots := min(opts.Slots, s.Universe())
	policy := opts.Policy
	if policy == nil {
		policy = newNextUse(DefaultPolicy, s, defaultWindow)
	}
	p := &Pager{
		shape: s, order: opts.Order, policy: policy,
		uploader: opts.Uploader, observe: opts.Observe,
		slotOf: make([]Slot, s.Universe()),
		held:   make([]ExpertID, slots),
		unused: make([]bool, slots),
		asked:  make([]int, s.Universe()),
		plan:   make([]Access, 0, s.Experts),
		batch:  make([]Upload, 0, s.Experts),
		wanted: make([]ExpertID, 0, s.Experts),
	}
	p.expecter, _ = policy.(Expecter)
	p.progress, _ = opts.Uploader.(Progress)
	p.event.Hits = make([]ExpertID, 0, s.Experts)
	p.event.Misses = make([]Upload, 0, s.Experts)
	fill(p.slotOf, noSlot)
	fill(p.held, NoExpert)
	return p, nil
}

func (o *Options) validate() error {
	var errs []error
	if err := o.Shape.validate(); err != nil {
		errs = append(errs, err)
	}
	if o.Slots < 1 {
		errs = append(errs, fmt.Errorf("pager: slots: %d, want at least 1", o.Slots))
	}
	if o.Order > Ascending {
		errs = append(errs, fmt.Errorf("pager: order: %d is unknown", o.Order))
	}
	return errors.Join(errs...)
}

// maxUniverse keeps ids, counts of slots and nextuse's fixed-point sums from overflow.
const maxUniverse = 1 << 24

func (s Shape) validate() error {
	switch {
	case s.Layers < 1 || s.Experts < 1:
		return fmt.Errorf("pager: shape: %d layers of %d experts, want at least 1 of each",
			s.Layers, s.Experts)
	case s.Experts > maxUniverse/s.Layers:
		return fmt.Errorf("pager: shape: %d layers of %d experts are more than %d experts",
			s.Layers, s.Experts, maxUniverse)
	case s.TopK < 0 || s.TopK > s.Experts:
		return fmt.Errorf("pager: shape: top-k %d of %d experts", s.TopK, s.Experts)
	}
	return nil
}

// Slots is the size of the pool.
func (p *Pager) Slots() int { return len(p.held) }

// Shape is the model's shape.
func (p *Pager) Shape() Shape { return p.shape }

// Policy is the policy that chooses what to evict.
func (p *Pager) Policy() Policy { return p.policy }

// Resident returns what each slot holds, by slot: NoExpert where it is free.
func (p *Pager) Resident() []ExpertID { return append([]ExpertID(nil), p.held...) }

// Full reports whether the pool holds the whole universe: then nothing is ever evicted.
func (p *Pager) Full() bool { return p.filled == p.shape.Universe() }

// SlotOf tells where an expert is, and whether it is resident at all.
func (p *Pager) SlotOf(e ExpertID) (Slot, bool) { s := p.slotOf[e]; return s, s != noSlot }

// Stats is a snapshot of the counts so far. It may be called from any goroutine.
func (p *Pager) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.public
}

func (p *Pager) publish() {
	p.mu.Lock()
	p.public = p.count
	p.mu.Unlock()
}

func fill[T any](s []T, v T) {
	for i := range s {
		s[i] = v
	}
}
