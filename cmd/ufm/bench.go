package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"ufm/bench"
	reports "ufm/bench/report"
	"ufm/bench/sweep"
)

func benchCommand() *cli.Command {
	return &cli.Command{
		Name:  "bench",
		Usage: "run a sweep of cells, each in a process of its own, and report on it",
		Description: "A preset is the name of one that is built in (" +
			strings.Join(sweep.PresetNames(), ", ") + ") or a file; several are joined by commas. " +
			"Rows, plots and reports go to a folder. Each row is kept as soon as it is there: " +
			"an interrupted sweep goes on with --resume.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "preset", Value: "quick", Usage: "what to sweep"},
			&cli.StringFlag{Name: "out", Usage: "folder for results (default: results/RUN-PRESET)"},
			&cli.BoolFlag{Name: "resume", Usage: "go on with the sweep in --out"},
			&cli.StringFlag{Name: "backend", Value: "auto", Usage: "auto, vulkan or cpu"},
			&cli.StringFlag{Name: "device", Usage: "Vulkan device: index or part of its name"},
			&cli.StringFlag{Name: "traces", Usage: "folder of the traces that presets name"},
		},
		Action:      benchAction,
		Subcommands: []*cli.Command{benchCompareCommand(), benchReportCommand()},
	}
}

func benchAction(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	o, err := benchOptions(c)
	if err != nil {
		return err
	}
	p := &benchProgress{progress: newProgress(c.App.ErrWriter)}
	rows, err := sweep.Run(c.Context, o, p)
	p.end()
	if rows == nil {
		return refusal(err)
	}
	if reportErr := reports.Write(o.Dir); reportErr != nil {
		return errors.Join(err, reportErr)
	}
	fmt.Fprintln(c.App.Writer, filepath.Join(o.Dir, reports.HTMLFile))
	return errors.Join(err, sweepFailures(rows))
}

// benchOptions makes a sweep from the flags. Nothing is written yet.
func benchOptions(c *cli.Context) (o sweep.Options, err error) {
	exe, err := os.Executable()
	if err != nil {
		return o, err
	}
	o = sweep.Options{
		Dir: c.String("out"), Resume: c.Bool("resume"), Child: []string{exe, cellsCommandName},
		Backend: c.String("backend"), Device: c.String("device"),
		Traces: sweep.Traces{Dir: c.String("traces"), Open: loadRouting},
	}
	if o.Resume && o.Dir == "" {
		return o, usagef("--resume: needs the folder of the sweep (--out)")
	}
	if o.Resume && !c.IsSet("preset") {
		found := false
		if o.Plan, _, found, err = sweep.Open(o.Dir); err != nil || found {
			return o, err
		}
	}
	o.Plan, err = sweep.Load(strings.Split(c.String("preset"), ","), o.Traces)
	if err != nil {
		return o, usageError{err}
	}
	if o.Dir == "" {
		o.RunID = bench.NewRunID(time.Now())
		o.Dir = filepath.Join("results", o.RunID+"-"+strings.Join(o.Plan.Presets, "-"))
	}
	return o, nil
}

// refusal is what a sweep that never began means for the exit status.
func refusal(err error) error {
	if errors.As(err, new(*sweep.PlanError)) {
		return usageError{err}
	}
	return err
}

// sweepFailures is an error if any row is a failure. Memory that does not suffice and
// cells that were not tried are results.
func sweepFailures(rows []bench.Row) error {
	counts := map[bench.Status]int{}
	for _, r := range rows {
		counts[r.Status]++
	}
	var errs []error
	for _, s := range []bench.Status{
		bench.StatusError, bench.StatusLost, bench.StatusCrashed, bench.StatusTimeout,
	} {
		if counts[s] > 0 {
			errs = append(errs, fmt.Errorf("%d of %d cells ended with status %s; their rows tell why",
				counts[s], len(rows), s))
		}
	}
	return errors.Join(errs...)
}

func benchReportCommand() *cli.Command {
	return &cli.Command{
		Name:      "report",
		Usage:     "make plots and reports of a folder of results again",
		ArgsUsage: "DIR",
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usagef("bench report: takes one folder, but was given %d", c.NArg())
			}
			dir := c.Args().First()
			if err := reports.Write(dir); err != nil {
				return err
			}
			fmt.Fprintln(c.App.Writer, filepath.Join(dir, reports.HTMLFile))
			return nil
		},
	}
}
