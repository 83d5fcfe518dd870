package main

import (
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"ufm/internal/trace"
	"ufm/sim"
)

// exitDifference is the status of a check that found a difference.
const exitDifference = 3

// differenceError is a difference that a check found.
type differenceError struct{ text string }

func (e differenceError) Error() string { return e.text }

func checkAction(c *cli.Context) error {
	if c.NArg() > 1 {
		return usagef("--check: takes one trace at most, but was given %d", c.NArg())
	}
	log, err := os.Open(c.String("check"))
	if err != nil {
		return flagError("check", err)
	}
	defer log.Close()
	diff, err := checkLog(log, c.Args().First())
	if err != nil {
		return err
	}
	if diff != nil {
		return differenceError{fmt.Sprintf("%s: %v", c.String("check"), diff)}
	}
	fmt.Fprintln(c.App.Writer, "no difference")
	return nil
}

// checkLog replays the groups of a trace, or without one those of the log itself.
func checkLog(log *os.File, path string) (*sim.Difference, error) {
	if path == "" {
		return sim.Check(log)
	}
	t, err := trace.Open(path)
	if err != nil {
		return nil, err
	}
	return sim.CheckTrace(log, t)
}
