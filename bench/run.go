package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

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

// StepObserver is an Observer that wants each measured step's time, too, in the order
// in which they ran. It is told just before the row is finished.
type StepObserver interface {
	Observer
	Steps(mode moe.Mode, ms []float64)
}

// Run runs each mode of spec on b and returns a row for each. Whatever fails within a
// mode is the status of its row. What no mode could run without, the bank first of
// all, and the end of ctx are errors; the rows finished until then come with it.
func Run(
	ctx context.Context, b moe.Backend, spec Spec, o Observer,
) (rows []Row, err error) {
	var banks shelf
	defer func() { err = errors.Join(err, banks.close()) }()
	return run(ctx, b, &banks, spec, o)
}

// Series runs one spec after the other, as Run does.
// Neighbours with the same Model share its bank. It ends with the first error.
func Series(
	ctx context.Context, b moe.Backend, specs []Spec, o Observer,
) (rows []Row, err error) {
	var banks shelf
	defer func() { err = errors.Join(err, banks.close()) }()
	for _, spec := range specs {
		more, err := run(ctx, b, &banks, spec, o)
		rows = append(rows, more...)
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

func run(
	ctx context.Context, b moe.Backend, banks *shelf, spec Spec, o Observer,
) (rows []Row, err error) {
	j, err := newJob(b, spec, o)
	if err != nil {
		return nil, err
	}
	j.banks = banks
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
	banks    *shelf
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
		env: newEnvironment(time.Now(), spec.RunID),
	}
	if err := j.place(); err != nil {
		return nil, err
	}
	j.feed, j.check = newFeed(&j.Spec), newCheck(&j.Spec)
	return j, nil
}

// notes are what should be known at start.
func (j *job) notes() []string {
	lines := PoolNotes(j.shape, j.slots, j.backend.Device())
	if note := j.Budget.Note(j.shape); note != "" {
		lines = append(lines, note)
	}
	return lines
}

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

// silent is the observer of a caller that has none.
type silent struct{}

func (silent) Progress(string, int64, int64) {}
func (silent) Note(string)                   {}
func (silent) Finished(Row)                  {}
