package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"ufm/bench"
)

func simCommand() *cli.Command {
	return &cli.Command{
		Name:      "sim",
		Usage:     "replay routing traces: hit rates, bounds and, with --hardware, speed",
		ArgsUsage: "TRACE...",
		Description: "Replays traces against the paging code that real runs use, for every policy and " +
			"pool that is asked for. Counts are exact; times are modeled.",
		Flags:  simFlags(),
		Action: simAction,
	}
}

func simFlags() []cli.Flag {
	const sweep, checks, output = "sweep", "instead of a sweep", "output"
	return []cli.Flag{
		&cli.StringFlag{Category: sweep, Name: "policy", Value: "lru,nextuse,belady",
			Usage: "policies, or all; published is the original's pager"},
		&cli.StringFlag{Category: sweep, Name: "slots", Value: "10%,25%,50%",
			Usage: "pool sizes: numbers, parts of the bank, ranges as 64-1024*2"},
		&cli.BoolFlag{Category: sweep, Name: "flat",
			Usage: "single accesses in top-k order, as general cache simulators count"},
		&cli.Uint64Flag{Category: sweep, Name: "seed", Value: 1, Usage: "of whatever is drawn"},

		&cli.StringFlag{Category: checks, Name: "check",
			Usage: "compare an event log of ufm run --events with a replay"},
		&cli.BoolFlag{Category: checks, Name: "list", Usage: "list the policies"},

		&cli.StringFlag{Category: output, Name: "format", Value: "table",
			Usage: "table, json, jsonl or csv"},
	}
}

// simAction does the one thing that is asked for.
func simAction(c *cli.Context) error {
	if err := flagError("format", bench.CheckFormat(c.String("format"))); err != nil {
		return err
	}
	instead := []struct {
		flag string
		run  func(*cli.Context) error
	}{
		{"check", checkAction},
		{"list", listAction},
	}
	run, by := sweepAction, ""
	for _, i := range instead {
		if !c.IsSet(i.flag) {
			continue
		}
		if by != "" {
			return usagef("--%s and --%s: give one of them", by, i.flag)
		}
		run, by = i.run, i.flag
	}
	return run(c)
}

// noTraces refuses traces where none are replayed.
func noTraces(c *cli.Context, flag string) error {
	if c.NArg() > 0 {
		return usagef("--%s: takes no trace, but was given %q", flag, c.Args().First())
	}
	return nil
}

// tell prints a line for people.
func tell(c *cli.Context, line string) { fmt.Fprintln(c.App.ErrWriter, "ufm:", line) }
