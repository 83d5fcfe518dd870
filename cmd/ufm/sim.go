package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"ufm/bench"
	"ufm/internal/hardware"
)

func simCommand() *cli.Command {
	return &cli.Command{
		Name:      "sim",
		Usage:     "replay routing traces: hit rates, bounds and, with --hardware, speed",
		ArgsUsage: "TRACE...",
		Description: "Replays traces against the paging code that real runs use, with every policy and " +
			"pool that is asked for. Counts are exact; times are modeled.",
		Flags:  simFlags(),
		Action: simAction,
	}
}

func simFlags() []cli.Flag {
	const sweep, clock, checks, output = "sweep", "time model", "instead of a sweep", "output"
	return slices.Concat([]cli.Flag{
		&cli.StringFlag{Category: sweep, Name: "policy", Value: "lru,nextuse,belady",
			Usage: "policies, or all; published is the original's pager"},
		&cli.StringFlag{Category: sweep, Name: "slots", Value: "10%,25%,50%",
			Usage: "pool sizes: numbers, parts of the bank, ranges as 64-1024*2"},
		&cli.StringFlag{Category: sweep, Name: "prefetch", Value: "off",
			Usage: "off, previous, frequency, gate or oracle:depth=2,accuracy=0.9"},
		&cli.BoolFlag{Category: sweep, Name: "flat",
			Usage: "single accesses in top-k order, as general cache simulators count"},
		&cli.BoolFlag{Category: sweep, Name: "mrc",
			Usage: "lru on single accesses at every pool size, in one pass (or at --slots)"},
		&cli.Uint64Flag{Category: sweep, Name: "seed", Value: 1, Usage: "of whatever is drawn"},

		&cli.StringFlag{Category: clock, Name: "hardware",
			Usage: "device to model: a file of ufm info --measure, or " +
				strings.Join(hardware.ProfileNames(), ", ")},
	}, machineFlags(clock), []cli.Flag{
		&cli.StringFlag{Category: checks, Name: "check",
			Usage: "compare an event log of ufm run --events with a replay"},
		&cli.StringFlag{Category: checks, Name: "predict",
			Usage: "set rows of ufm run --format jsonl beside what the time model says of them"},
		&cli.BoolFlag{Category: checks, Name: "numerics",
			Usage: "run a small model on --backend and compare every tensor with a float64 reference"},
		&cli.StringFlag{Category: checks, Name: "backend", Value: "auto", Usage: "auto, vulkan or cpu"},
		&cli.StringFlag{Category: checks, Name: "device", Usage: "Vulkan device: index or part of its name"},
		&cli.BoolFlag{Category: checks, Name: "list", Usage: "list the policies"},

		&cli.StringFlag{Category: output, Name: "plot",
			Usage: "folder for plots of hit rate against slots"},
		&cli.StringFlag{Category: output, Name: "format", Value: "table",
			Usage: "table, json, jsonl or csv"},
	})
}

// simAction does the one thing that is asked for.
func simAction(c *cli.Context) error {
	if err := flagError("format", bench.CheckFormat(c.String("format"))); err != nil {
		return err
	}
	run, by := sweepAction, ""
	for _, instead := range []struct {
		flag string
		run  func(*cli.Context) error
	}{
		{"check", checkAction},
		{"list", listAction},
		{"predict", predictAction},
		{"numerics", numericsAction},
	} {
		if !c.IsSet(instead.flag) {
			continue
		}
		if by != "" {
			return usagef("--%s and --%s: give one of them", by, instead.flag)
		}
		run, by = instead.run, instead.flag
	}
	if err := refuseOthers(c, by); err != nil {
		return err
	}
	return run(c)
}

// refuseOthers refuses flags that mean nothing for what is done instead of a sweep.
func refuseOthers(c *cli.Context, by string) error {
	serves := map[string][]string{
		"check":    {"check"},
		"list":     {"list", "format"},
		"predict":  {"predict", "hardware", "format"},
		"numerics": {"numerics", "backend", "device", "format"},
	}
	for _, name := range c.LocalFlagNames() {
		if by != "" && !slices.Contains(serves[by], name) {
			return usagef("--%s: means nothing with --%s", name, by)
		}
	}
	return nil
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
