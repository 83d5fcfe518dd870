package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"ufm/bench/compare"
	reports "ufm/bench/report"
)

func benchCompareCommand() *cli.Command {
	return &cli.Command{
		Name:      "compare",
		Usage:     "set two folders of results side by side, cell by cell",
		ArgsUsage: "A B",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "fail-slower", Usage: "exit with 3 if a cell of B is slower by more: 5%"},
			&cli.StringFlag{Name: "format", Value: "table",
				Usage: "table, json, or go: Go's benchmark format, for benchstat -col run"},
		},
		Action: compareAction,
	}
}

func compareAction(c *cli.Context) error {
	if c.NArg() != 2 {
		return usagef("bench compare: takes two folders of results, but was given %d", c.NArg())
	}
	part, err := failSlower(c)
	if err != nil {
		return err
	}
	a, b := c.Args().Get(0), c.Args().Get(1)
	cells, err := compare.Folders(a, b)
	if err != nil {
		return err
	}
	switch format := c.String("format"); format {
	case "go":
		err = reports.WriteGoBench(c.App.Writer, a, b)
	case "table", "json":
		err = compare.Write(c.App.Writer, format, cells)
	default:
		err = usagef("--format: unknown format %q (table, json, go)", format)
	}
	if err != nil || !c.IsSet("fail-slower") {
		return err
	}
	slower := compare.Slower(cells, part)
	if len(slower) == 0 {
		return nil
	}
	names := make([]string, len(slower))
	for i, s := range slower {
		names[i] = s.Name
	}
	return differenceError{fmt.Sprintf("%d cells are slower by more than %s, or fail: %s",
		len(slower), c.String("fail-slower"), strings.Join(names, "; "))}
}

// failSlower reads a percentage.
func failSlower(c *cli.Context) (part float64, err error) {
	if !c.IsSet("fail-slower") {
		return 0, nil
	}
	text := c.String("fail-slower")
	p, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil || !strings.HasSuffix(text, "%") || !(p >= 0 && p < 100) {
		return 0, usagef("--fail-slower: %q is no percentage from 0%% to below 100%%", text)
	}
	return p / 100, nil
}
