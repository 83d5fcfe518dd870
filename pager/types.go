package pager

// ExpertID is an expert's dense id: layer × experts per layer + index.
type ExpertID uint32

// Slot is the index of device memory for exactly one expert, counted from 0.
type Slot int32

// NoExpert marks the absence of an expert: a slot that was free before an upload.
const NoExpert = ExpertID(1<<32 - 1)

// Shape is what the pager knows of a model.
type Shape struct {
	Layers  int `json:"layers"`  // MoE layers, visited in turn 0..Layers-1
	Experts int `json:"experts"` // per layer
	TopK    int `json:"top_k"`   // experts a token takes in each layer
}

// Universe is the number of experts of all layers.
func (s Shape) Universe() int { return s.Layers * s.Experts }

// ID is the dense id of expert index of layer.
func (s Shape) ID(layer, index int) ExpertID { return ExpertID(layer*s.Experts + index) }

// Layer is the layer that e belongs to.
func (s Shape) Layer(e ExpertID) int { return int(e) / s.Experts }

// TokenCycle is the number of slots that one decoded token needs. Below it, with
// two layers or more, plain LRU hits nothing.
func (s Shape) TokenCycle() int { return s.Layers * s.TopK }

// Phase tells prefill (many tokens a step) from decode (one).
type Phase uint8

// The phases, numbered as in trace files.
const (
	Prefill Phase = iota
	Decode
)

// String is "prefill" or "decode".
func (p Phase) String() string {
	if p == Prefill {
		return "prefill"
	}
	return "decode"
}

// Group is what the pager is asked for: the distinct experts that one batch of
// tokens needs in one layer.
type Group struct {
	Step    int
	Layer   int
	Phase   Phase
	Experts []ExpertID // distinct, ascending, all of Layer; not kept by the pager
}

// Access is one expert of a group as the pager decided it.
type Access struct {
	Expert  ExpertID
	Slot    Slot
	Hit     bool
	Evicted ExpertID // of a miss: what the slot held before, or NoExpert
}

// Plan is a group in execution order. Its slices belong to the pager and are
// valid until the next Request.
//
// In resident-first order the hits come first; an access may evict any expert
// that stands before it in the plan, so a caller must let the compute that reads
// a slot end before the slot's next upload begins.
type Plan struct {
	Seq      int // groups before this one
	Accesses []Access
	Hits     int
}

// Upload asks for one expert to be copied into one slot.
type Upload struct {
	Expert  ExpertID
	Slot    Slot
	Evicted ExpertID // what the slot held before, or NoExpert
}

// Uploader moves experts into slots; the pager only decides. A backend is one,
// and so is the simulator's fake.
type Uploader interface {
	// Upload starts the copies of one group's misses, or of one batch of prefetches,
	// in the order given. It is called at most once for each Request or Prefetch,
	// never concurrently, and must not keep the slice. It does not wait.
	Upload(batch []Upload, prefetch bool) error
}

// Progress is an optional ability of an Uploader: it tells late hits.
type Progress interface {
	// Uploaded reports whether the last upload into s has finished.
	Uploaded(s Slot) bool
}

// Policy chooses what to evict. The pager calls it from one goroutine:
// Begin once a group, then, in execution order, Touch for each hit, and for each
// miss Evict (only if no slot is free) followed by Insert. For a prefetch it calls
// Evict (if no slot is free) and Insert between two groups; where the victim may not
// go, it asks for others, and then inserts it again as if just prefetched.
//
// A policy must not allocate on these calls (lru, which wraps golang-lru, may).
type Policy interface {
	// Name is the policy with its parameters, as the --policy flag takes it.
	Name() string
	// Begin announces a group before any of its decisions, split by what is resident
	// then. hits and misses are ascending and belong to the pager.
	Begin(layer int, hits, misses []ExpertID)
	// Touch tells that a resident expert is executed.
	Touch(e ExpertID)
	// Insert tells that e became resident: by a miss, which also executes it, or by
	// a prefetch, which does not.
	Insert(e ExpertID, prefetch bool)
	// Evict removes one resident expert and returns it. Ties between equal estimates:
	// oldest touch, then lowest id.
	Evict() ExpertID
}

// Expecter is an optional ability of a Policy: it wants to know for whom it makes room.
type Expecter interface {
	// Expect names the expert that is not resident and for which the Evict that follows
	// makes room. Where a prefetch asks for further victims, they are for the same one.
	Expect(e ExpertID)
}

// Prefetch is one request to upload an expert ahead of the group that may use it.
// Where the expert was resident, Slot has it and Evicted is the expert itself; where
// no slot was to be had, Slot is -1. Issued tells these from uploads.
type Prefetch struct {
	Upload
	Before int // sequence number of the first group that it can serve
}

// Event is what the pager did for one group; the event log has a line for each.
// Observers must not keep its slices.
type Event struct {
	Seq        int
	Step       int
	Layer      int
	Phase      Phase
	Hits       []ExpertID
	Misses     []Upload
	Prefetches []Prefetch // issued after the previous group's decisions and before this one's
}

// Stats counts since the pager was made. Late hits depend on time; all else
// follows from the requests.
type Stats struct {
	Groups         int64 `json:"groups"`
	Accesses       int64 `json:"accesses"` // hits + misses
	Hits           int64 `json:"hits"`
	LateHits       int64 `json:"late_hits"` // hits whose prefetch had not finished
	Misses         int64 `json:"misses"`
	Uploads        int64 `json:"uploads"` // misses + prefetches
	Evictions      int64 `json:"evictions"`
	Prefetches     int64 `json:"prefetches"`
	PrefetchUsed   int64 `json:"prefetch_used"`
	PrefetchWasted int64 `json:"prefetch_wasted"` // evicted before any use
}
