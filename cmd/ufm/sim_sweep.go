package main

import (
	"errors"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"ufm/bench"
	"ufm/internal/trace"
	"ufm/sim"
)

// sweepAction replays all cells and prints a row for each.
func sweepAction(c *cli.Context) error {
	sweep, err := newSweep(c)
	if err != nil {
		return err
	}
	p := newProgress(c.App.ErrWriter)
	sweep.Progress = func(done, total int) { p.Progress("cells", int64(done), int64(total)) }
	rows, notes, err := sweep.Run(c.Context)
	p.end()
	for _, note := range notes {
		tell(c, note)
	}
	if err != nil && len(rows) == 0 {
		return err
	}
	return errors.Join(err, bench.WriteSim(c.App.Writer, c.String("format"), rows))
}

// newSweep reads the flags first, so that a mistake in them is found before a long trace
// is read.
func newSweep(c *cli.Context) (s *sim.Sweep, err error) {
	if c.NArg() == 0 {
		return nil, usagef("sim needs a trace (ufm run --trace-out records one)")
	}
	s = &sim.Sweep{
		Slots: c.String("slots"), Flat: c.Bool("flat"), Curve: c.Bool("mrc"),
		Prefetch: c.String("prefetch"), Seed: c.Uint64("seed"),
	}
	if s.Curve {
		if err := curveAlone(c); err != nil {
			return nil, err
		}
		if !c.IsSet("slots") {
			s.Slots = ""
		}
	}
	if err := s.Validate(); err != nil {
		return nil, usageError{err}
	}
	if s.Policies, err = sim.ParsePolicies(c.String("policy"), s.Flat); err != nil {
		return nil, flagError("policy", err)
	}
	if s.Machine, err = newMachine(c); err != nil {
		return nil, err
	}
	s.Traces, err = openTraces(c.Args().Slice())
	return s, err
}

// curveAlone refuses what the curve of lru has no use for.
func curveAlone(c *cli.Context) error {
	for _, flag := range []string{"policy", "prefetch", "hardware"} {
		if c.IsSet(flag) {
			return usagef("--mrc is the curve of lru on single accesses: it takes no --%s", flag)
		}
	}
	return nil
}

// openTraces reads traces. Rows call them by their files' names, or by their paths
// where two have the same.
func openTraces(paths []string) (sources []sim.Source, err error) {
	named := map[string]int{}
	for _, path := range paths {
		named[filepath.Base(path)]++
	}
	var errs []error
	for _, path := range paths {
		t, err := trace.Open(path)
		errs = append(errs, err)
		name := filepath.Base(path)
		if named[name] > 1 {
			name = path
		}
		sources = append(sources, sim.Source{Name: name, Trace: t})
	}
	return sources, errors.Join(errs...)
}
