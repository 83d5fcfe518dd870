package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"ufm/bench"
)

// Options say what to sweep and where to keep the rows.
type Options struct {
	Plan   Plan
	Traces Traces
	Dir    string // of results; it is made
	Resume bool   // go on with what Dir has
	// Child is the command that calls Serve.
	Child           []string
	Backend, Device string // as the child's Opener takes them
	RunID           string // "": made up; a resumed sweep keeps its own
}

// Observer is told how a sweep goes.
type Observer interface {
	Progress(what string, done, total int64)
	Note(line string)
	// Finished hands over the row of cell n of total, from 1.
	Finished(n, total int, c Cell, r bench.Row)
}

// PlanError is a plan that the folder, or another program, does not let go on.
type PlanError struct{ text string }

// Error says what stands in the way.
func (e *PlanError) Error() string { return e.text }

func planErrorf(format string, args ...any) error {
	return &PlanError{"sweep: " + fmt.Sprintf(format, args...)}
}

// Run runs the cells that the folder has no row of yet and returns all rows. The rows
// that there are come with an error, too, and with the end of ctx.
func Run(ctx context.Context, o Options, observer Observer) (rows []bench.Row, err error) {
	machine, err := describe(ctx, o, observer)
	if err != nil {
		return nil, err
	}
	f, err := openFolder(o.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	s := &sweep{Options: o, folder: f, observer: observer, noted: map[string]bool{}}
	if err := s.begin(ctx, machine); err != nil {
		return nil, err
	}
	err = s.cells(ctx)
	return f.done, errors.Join(err, s.end())
}

// Open reads the plan and the environment of a folder. found is false where there is
// no sweep in it.
func Open(dir string) (plan Plan, env Environment, found bool, err error) {
	f := &folder{dir: dir}
	found, err = readJSON(f.path(PlanFile), &plan)
	if !found || err != nil {
		return plan, env, found, err
	}
	_, err = readJSON(f.path(EnvironmentFile), &env)
	return plan, env, true, err
}

// describe asks a child about the machine: a driver that takes its process along must
// not take the sweep.
func describe(ctx context.Context, o Options, observer Observer) (m Machine, err error) {
	r := request{Backend: o.Backend, Device: o.Device}
	if _, env, found, err := Open(o.Dir); err == nil && found {
		r.Ceilings = &env.Machine.Ceilings // its cells go on with those: nothing is to be measured
	}
	p, err := start(o.Child, r)
	if err != nil {
		return m, err
	}
	found := false
	_, v, err := p.attend(ctx, 5*time.Minute, func(msg message) {
		if msg.Note != "" {
			observer.Note(msg.Note)
		}
		if msg.Machine != nil {
			m, found = *msg.Machine, true
		}
	})
	if err == nil && !found {
		err = &ChildError{Code: p.command.ProcessState.ExitCode(), Text: v.text}
		if said := p.stderr.whole(); said != "" && p.command.ProcessState.ExitCode() > 0 {
			err = &ChildError{Code: p.command.ProcessState.ExitCode(), Text: said}
		}
	}
	return m, err
}

type sweep struct {
	Options
	folder   *folder
	env      Environment
	observer Observer
	noted    map[string]bool // each note once, not once a child
}

// begin checks that the folder may be gone on with, or sets up a new one.
func (s *sweep) begin(ctx context.Context, m Machine) error {
	version, err := thisVersion()
	if err = errors.Join(err, ctx.Err()); err != nil { // a signal may have ended what told the commit
		return err
	}
	plan, env, found, err := Open(s.Dir)
	if err != nil {
		return err
	}
	if found || len(s.folder.done) > 0 {
		s.env = env
		return s.mayResume(plan, version, m)
	}
	s.env = Environment{RunID: s.RunID, Started: time.Now().UTC(), Version: version, Machine: m}
	if s.env.RunID == "" {
		s.env.RunID = bench.NewRunID(time.Now())
	}
	// The plan comes last: where it is, all is.
	return errors.Join(s.folder.writeJSON(EnvironmentFile, s.env), s.folder.writeJSON(PlanFile, s.Plan))
}

// mayResume names the first thing that keeps the rows that are there and those that
// are to come from being one sweep.
func (s *sweep) mayResume(plan Plan, v Version, m Machine) error {
	there := s.env.Machine
	switch {
	case !s.Resume:
		return planErrorf("%s has %d rows of a sweep already: --resume goes on with it",
			s.Dir, len(s.folder.done))
	case plan.difference(s.Plan) != "":
		return planErrorf("%s is of another plan: %s", s.Dir, plan.difference(s.Plan))
	case s.env.Version.difference(v) != "":
		return planErrorf("%s was made by another version: %s", s.Dir, s.env.Version.difference(v))
	case there.Backend != m.Backend || there.Device.Name != m.Device.Name || there.Device.Driver != m.Device.Driver:
		return planErrorf("%s was made on another device: %s %s (%s) there and %s %s (%s) here", s.Dir,
			there.Backend, there.Device.Name, there.Device.Driver, m.Backend, m.Device.Name, m.Device.Driver)
	case len(s.folder.done) > len(plan.Cells):
		return planErrorf("%s has %d rows for %d cells", s.Dir, len(s.folder.done), len(plan.Cells))
	}
	return nil
}

// cells runs what is left, a child for each bank.
func (s *sweep) cells(ctx context.Context) error {
	for {
		rest := s.Plan.Cells[len(s.folder.done):]
		if len(rest) == 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if reason := s.Traces.skip(rest[0]); reason != "" {
			if err := s.substitute(verdict{status: bench.StatusSkipped, text: reason}); err != nil {
				return err
			}
			continue
		}
		n := 1
		for n < len(rest) && rest[n].bankKey() == rest[0].bankKey() && s.Traces.skip(rest[n]) == "" {
			n++
		}
		if err := s.child(ctx, rest[:n]); err != nil {
			return err
		}
	}
}

// child runs cells of one bank until all have their row, or until it dies. Then its
// current cell has one, too, and the others are left to the next child.
func (s *sweep) child(ctx context.Context, cells []Cell) error {
	p, err := start(s.Child, request{
		Backend: s.env.Machine.Backend, Device: s.Device, Traces: s.Traces.Dir,
		RunID: s.env.RunID, Ceilings: &s.env.Machine.Ceilings, Cells: cells,
	})
	if err != nil {
		return err
	}
	for i, c := range cells {
		row, v, err := p.attend(ctx, time.Duration(c.Limit), s.pass)
		if err != nil {
			return err
		}
		if row != nil {
			if err := s.accept(c, *row); err != nil {
				p.kill()
				return err
			}
			if row.Row.Status == bench.StatusLost {
				break
			}
			continue
		}
		last := i
		if v.all {
			last = len(cells) - 1
		}
		for range last - i + 1 {
			if err := s.substitute(*v); err != nil {
				return err
			}
		}
		return nil
	}
	p.finish()
	return nil
}

// accept adds a row that a child sent, if it answers the question.
func (s *sweep) accept(c Cell, r finished) error {
	if r.Row.Mode != c.Mode || r.Row.Experts != c.Experts || r.Row.Tokens != c.Tokens {
		return fmt.Errorf("sweep: a child answered %v with a row of mode %s, %d experts, %d tokens",
			c, r.Row.Mode, r.Row.Experts, r.Row.Tokens)
	}
	return s.add(r)
}

// pass hands on what a child tells of its work.
func (s *sweep) pass(m message) {
	if m.Progress != nil {
		s.observer.Progress(m.Progress.What, m.Progress.Done, m.Progress.Total)
	}
	if m.Note != "" && !s.noted[m.Note] {
		s.noted[m.Note] = true
		s.observer.Note(m.Note)
	}
}

// substitute adds the row of a cell that could not tell its own end.
func (s *sweep) substitute(v verdict) error {
	c := s.Plan.Cells[len(s.folder.done)]
	known := c
	if v.status == bench.StatusSkipped {
		known.Routing = "uniform" // the trace that it asks for is not here
	}
	row, err := known.expectOn(s.env.Machine, s.env.RunID, s.Traces.loader())
	if err != nil {
		return err
	}
	row.Routing, row.Status, row.Error = c.Routing, v.status, &v.text
	return s.add(finished{Row: row})
}

func (s *sweep) add(r finished) error {
	if err := s.folder.add(r); err != nil {
		return err
	}
	n := len(s.folder.done)
	s.observer.Finished(n, len(s.Plan.Cells), s.Plan.Cells[n-1], r.Row)
	return nil
}

// end writes what belongs to the rows. The cards are asked at once, while they are hot.
func (s *sweep) end() error {
	s.env.CardsAfter = cards()
	if len(s.folder.done) == len(s.Plan.Cells) && s.env.Finished.IsZero() {
		s.env.Finished = time.Now().UTC()
	}
	return errors.Join(s.folder.writeJSON(EnvironmentFile, s.env), s.folder.writeCSV())
}

// Samples reads the times behind the rows of a folder, by cell; an older folder has
// none.
func Samples(dir string) (map[int][]float64, error) {
	path := (&folder{dir: dir}).path(SamplesFile)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	defer f.Close()
	all := map[int][]float64{}
	for d := json.NewDecoder(f); d.More(); {
		var s Sample
		if err := d.Decode(&s); err != nil {
			return nil, fmt.Errorf("sweep: %s: %w", path, err)
		}
		all[s.Cell] = s.StepMs
	}
	return all, nil
}
