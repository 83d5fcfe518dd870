package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"ufm/moe"
)

// BuildingBank is what Progress calls the building of the bank, which it counts in bytes.
const BuildingBank = "bank"

// Observer is told how a run goes.
type Observer interface {
	// Progress tells how much of what is done: bytes of the bank, or steps or
	// milliseconds of a mode. It may be called from several goroutines at once.
	Progress(what string, done, total int64)
	// Note tells something worth knowing before the first result.
	Note(line string)
	// Finished hands over a row as soon as its mode has ended.
	Finished(r Row)
}

// Run runs each mode of spec on b and returns a row for each. Whatever fails within a
// mode is the status of its row. What no mode could run without, the bank first of
// all, and the end of ctx are errors; the rows finished until then come with it.
func Run(
	ctx context.Context, b moe.Backend, spec Spec, o Observer,
) (rows []Row, err error) {
	j, err := newJob(b, spec, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	for _, line := range j.notes() {
		j.observer.Note(line)
	}
	for _, mode := range spec.Modes {
		row, err := j.run(ctx, mode)
		if err == nil && row.Status != StatusOK {
			err = ctx.Err() // it failed for being interrupted
		}
		if err != nil {
			return rows, err
		}
		rows = append(rows, row)
		j.observer.Finished(row)
	}
	return rows, nil
}

// job is what the modes of a run share.
type job struct {
	Spec
	shape    moe.Shape
	backend  moe.Backend
	observer Observer
	env      environment
	slots    int // of the budget
	feed     *feed
	check    *check
	held     moe.Bank // built when the first mode has its device memory; nil until then
}

func newJob(b moe.Backend, spec Spec, o Observer) (*job, error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	if o == nil {
		o = silent{}
	}
	j := &job{
		Spec: spec, shape: spec.Model.Shape(), backend: b, observer: o,
		env: newEnvironment(time.Now()),
	}
	var err error
	if j.slots, err = spec.Budget.Slots(j.shape, j.free()); err != nil {
		return nil, err
	}
	j.feed, j.check = newFeed(&j.Spec), newCheck(&j.Spec)
	return j, nil
}

// free is the device memory that an automatic budget may take: what is left after the
// gates, about a step's activations, some headroom for the driver, and, where the bank
// takes the same memory, the bank.
func (j *job) free() int64 {
	s, d := j.shape, j.backend.Device()
	gates := 4 * int64(s.Layers) * int64(s.Experts) * int64(s.DModel)
	perToken := 4 * int64(4*s.DModel+s.TopK*(s.DModel+s.DHidden))
	free := d.MemBytes - d.MemBytes/16 - gates - perToken*int64(j.Tokens)
	if d.Unified && j.MemoryLimit == 0 {
		free -= s.BankBytes()
	}
	return free
}

// notes are what should be known at start.
func (j *job) notes() []string { return PoolNotes(j.shape, j.slots, j.backend.Device()) }

// PoolNotes are what should be known of a pool of so many slots before it is used.
func PoolNotes(s moe.Shape, slots int, d moe.Device) []string {
	var lines []string
	if d.Unified {
		lines = append(lines, fmt.Sprintf(
			"%s shares its memory with the host: paging gains nothing there", d.Name))
	}
	cycle := s.Paging().TokenCycle()
	switch {
	case slots >= cycle:
	case s.Layers > 1:
		lines = append(lines, fmt.Sprintf("the pool of %d slots is below one token cycle of "+
			"%d layers × top-%d = %d: plain LRU hits nothing when it decodes",
			slots, s.Layers, s.TopK, cycle))
	default:
		lines = append(lines, fmt.Sprintf("the pool of %d slots is below top-%d: "+
			"plain LRU hits at most %d of a token's %d experts",
			slots, s.TopK, slots, s.TopK))
	}
	return lines
}

// bank is the host's copy of all experts. It is built once, when the first mode has
// taken its device memory, so that what does not fit the device is known in no time.
func (j *job) bank(ctx context.Context) (moe.Bank, error) {
	if j.held != nil {
		return j.held, nil
	}
	total := j.shape.BankBytes()
	bank, err := j.backend.NewBank(ctx, j.Model, func(done int64) {
		j.observer.Progress(BuildingBank, done, total)
	})
	if err != nil {
		return nil, fmt.Errorf("bench: bank of %s: %w", humanize.IBytes(uint64(total)), err)
	}
	j.held = bank
	return bank, nil
}

func (j *job) close() error {
	if j.held == nil {
		return nil
	}
	return j.held.Close()
}

// silent is the observer of a caller that has none.
type silent struct{}

func (silent) Progress(string, int64, int64) {}
func (silent) Note(string)                   {}
func (silent) Finished(Row)                  {}
