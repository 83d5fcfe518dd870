package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"

	"ufm/internal/trace"
)

func traceCommand() *cli.Command {
	return &cli.Command{
		Name:  "trace",
		Usage: "describe routing traces, and convert them",
		Description: "Reads safetensors traces (ufm run --trace-out), BigMoeOnEdge's route_trace CSV, " +
			"Megatron's router_trace JSON Lines and arrays of vLLM's routed experts (npy).",
		Action: noSubcommand,
		Subcommands: []*cli.Command{
			{
				Name:      "info",
				Usage:     "tell a trace's shape, and how it uses its experts",
				ArgsUsage: "FILE…",
				Flags: append(traceHints(),
					&cli.StringFlag{Name: "format", Value: "table", Usage: "table or json"}),
				Action: traceInfoAction,
			},
			{
				Name:      "convert",
				Usage:     "write a trace in another form",
				ArgsUsage: "IN OUT",
				Flags: append(traceHints(), &cli.StringFlag{Name: "to",
					Usage: strings.Join(trace.ExportForms(), ", ") + "; if not given, the end of OUT tells"}),
				Action: traceConvertAction,
			},
		},
	}
}

// traceHints are flags for what some forms of a trace leave open.
func traceHints() []cli.Flag {
	const category = "what the file may not tell"
	return []cli.Flag{
		&cli.IntFlag{Category: category, Name: "layers"},
		&cli.IntFlag{Category: category, Name: "experts", Usage: "of a layer (Megatron, npy)"},
		&cli.IntFlag{Category: category, Name: "top-k", Usage: "experts of a token"},
		&cli.IntFlag{Category: category, Name: "prefill",
			Usage: "first tokens that are one step of prefill (npy)"},
	}
}

// noSubcommand is what a command of sub-commands does without one that it knows.
func noSubcommand(c *cli.Context) error {
	if name := c.Args().First(); name != "" {
		return usagef("unknown command %q (ufm %s --help lists them)", name, c.Command.Name)
	}
	return usagef("%s needs a command (ufm %s --help lists them)", c.Command.Name, c.Command.Name)
}

// openHinted opens a trace with the flags of traceHints.
func openHinted(c *cli.Context, path string) (*trace.Trace, error) {
	for _, name := range []string{"layers", "experts", "top-k", "prefill"} {
		if c.IsSet(name) && c.Int(name) < 1 {
			return nil, usagef("--%s: must be at least 1, not %d", name, c.Int(name))
		}
	}
	return trace.OpenWith(path, trace.Hints{
		Layers: c.Int("layers"), Experts: c.Int("experts"), TopK: c.Int("top-k"),
		Prefill: c.Int("prefill"),
	})
}

// described is a trace as ufm trace info prints it.
type described struct {
	File string `json:"file"`
	trace.Description
}

func traceInfoAction(c *cli.Context) error {
	format := c.String("format")
	if format != "table" && format != "json" {
		return usagef("--format: unknown format %q (table, json)", format)
	}
	if c.NArg() == 0 {
		return usagef("trace info needs the files of traces")
	}
	all := []described{}
	var errs []error
	for _, path := range c.Args().Slice() {
		t, err := openHinted(c, path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		d := described{File: path, Description: t.Describe()}
		if format == "table" {
			printDescription(c.App.Writer, d)
		}
		all = append(all, d)
	}
	if format == "json" {
		errs = append(errs, printJSON(c.App.Writer, all))
	}
	return errors.Join(errs...)
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func traceConvertAction(c *cli.Context) error {
	if c.NArg() != 2 {
		return usagef("trace convert needs a file to read and one to write, but was given %d",
			c.NArg())
	}
	in, out := c.Args().Get(0), c.Args().Get(1)
	form, err := exportForm(c, out)
	if err != nil {
		return err
	}
	t, err := openHinted(c, in)
	if err != nil {
		return err
	}
	f, err := openOutput(out)
	if err != nil {
		return err
	}
	if err := errors.Join(t.Export(f, form), f.Close()); err != nil {
		return err
	}
	fmt.Fprintf(c.App.ErrWriter, "ufm: %s: %s tokens through %d layers of %d experts, top-%d\n",
		out, humanize.Comma(int64(t.Tokens())), t.Layers, t.Experts, t.TopK)
	if left := t.Left(form); left != nil {
		fmt.Fprintf(c.App.ErrWriter, "ufm: %s: %s has no place for %s\n",
			out, form, strings.Join(left, ", "))
	}
	return nil
}

// exportForm is the form that --to or the end of the file's name asks for.
func exportForm(c *cli.Context, path string) (string, error) {
	if !c.IsSet("to") {
		form, err := trace.ExportForm(path)
		if err != nil {
			return "", usagef("%w; or give --to", err)
		}
		return form, nil
	}
	for _, form := range trace.ExportForms() {
		if strings.EqualFold(form, c.String("to")) {
			return form, nil
		}
	}
	return "", usagef("--to: unknown form %q (%s)", c.String("to"),
		strings.Join(trace.ExportForms(), ", "))
}
