package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

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
	return errors.Join(err, bench.WriteSim(c.App.Writer, c.String("format"), rows),
		drawSweep(c, sweep, rows), tellTimes(c, rows))
}

// drawSweep draws the rows where --plot asks for it.
func drawSweep(c *cli.Context, s *sim.Sweep, rows []sim.Row) error {
	if !c.IsSet("plot") {
		return nil
	}
	files, err := bench.PlotSim(c.String("plot"), s.Traces, rows)
	for _, f := range files {
		tell(c, "wrote "+f)
	}
	return err
}

// tellTimes tells how busy the link was and where the stalls were, which rows have no
// columns for.
func tellTimes(c *cli.Context, rows []sim.Row) error {
	if c.String("format") != "table" {
		return nil
	}
	for _, r := range rows {
		if r.LayerStalls == nil {
			continue
		}
		worst := slices.Index(r.LayerStalls, slices.Max(r.LayerStalls))
		line := fmt.Sprintf("ufm: %s, %s, %d slots: link busy %.1f %% of the time; stall a step by layer,",
			r.Trace, r.Policy, r.Slots, 100*r.LinkUse)
		line += fmt.Sprintf(" worst %d:", worst)
		for _, ms := range r.LayerStalls {
			line += fmt.Sprintf(" %.3g", ms)
		}
		if _, err := fmt.Fprintln(c.App.ErrWriter, line+" ms"); err != nil {
			return err
		}
	}
	return nil
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
	if c.IsSet("plot") && !c.IsSet("slots") {
		s.Slots = "1%-100%*1.25"
	}
	if s.Curve {
		if err := curveAlone(c); err != nil {
			return nil, err
		}
		if !c.IsSet("slots") {
			s.Slots = ""
		}
	}
	if _, _, err := sim.ParseSlots(s.Slots, 1); err != nil && !(s.Curve && s.Slots == "") {
		return nil, flagError("slots", err)
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
