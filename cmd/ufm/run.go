package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"ufm/bench"
	"ufm/internal/hardware"
	"ufm/moe"
	"ufm/vk"
)

func runCommand() *cli.Command {
	return &cli.Command{
		Name:  "run",
		Usage: "run a model in several modes and account for each",
		Description: "Without a model or a shape it runs the checkpoint that is built in, " +
			"with half of its experts in memory, and checks it against recorded activations. " +
			"Any flag of the shape, or --routing, runs a synthetic model instead.",
		Flags:  runFlags(),
		Action: runAction,
	}
}

func runFlags() []cli.Flag {
	const model, shape, paging, output = "model", "synthetic model", "paging", "output"
	return []cli.Flag{
		&cli.StringFlag{Name: "backend", Value: "auto", Usage: "auto, vulkan or cpu"},
		&cli.StringFlag{Name: "device", Usage: "Vulkan device: index or part of its name"},
		&cli.StringFlag{Name: "mode", Value: "baseline,naive,published,ufm", Usage: "modes to run"},
		&cli.IntFlag{Name: "tokens", Value: 512,
			Usage: "tokens of a step; with recorded activations 1 unless given"},
		&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "of weights, inputs and routing"},
		&cli.IntFlag{Name: "steps", Usage: "steps to measure, instead of --seconds"},
		&cli.Float64Flag{Name: "seconds", Value: 3, Usage: "time to measure, in each mode"},
		&cli.BoolFlag{Name: "verify", Usage: "check the first step against a float64 reference"},

		&cli.StringFlag{Category: model, Name: "model", Usage: "checkpoint directory"},
		&cli.StringFlag{Category: model, Name: "activations",
			Usage: "recorded inputs and outputs of the checkpoint's layers"},

		&cli.IntFlag{Category: shape, Name: "layers", Value: 1},
		&cli.IntFlag{Category: shape, Name: "experts", Value: 96, Usage: "of a layer"},
		&cli.IntFlag{Category: shape, Name: "d-model", Value: 2048},
		&cli.IntFlag{Category: shape, Name: "d-hidden", Value: 8192},
		&cli.IntFlag{Category: shape, Name: "top-k", Value: 2, Usage: "experts of a token"},
		&cli.StringFlag{Category: shape, Name: "form", Value: "gelu", Usage: "gelu or swiglu"},
		&cli.StringFlag{Category: shape, Name: "dtype", Value: "f32", Usage: "f32, f16 or bf16"},
		&cli.StringFlag{Category: shape, Name: "routing", Value: "uniform",
			Usage: "uniform, zipf:S, sticky:P or trace:FILE"},

		&cli.StringFlag{Category: paging, Name: "budget", Value: "auto",
			Usage: "device memory for experts: 16GiB, 50% or auto; the built-in model has 50%"},
		&cli.StringFlag{Category: paging, Name: "vram-limit",
			Usage: "most device memory to take, to stand in for a smaller device"},
		&cli.StringFlag{Category: paging, Name: "policy", Value: "nextuse",
			Usage: "what mode ufm evicts by"},
		&cli.StringFlag{Category: paging, Name: "prefetch", Value: "auto", Usage: "off or auto"},

		&cli.StringFlag{Category: output, Name: "format", Value: "table",
			Usage: "table, json, jsonl or csv"},
		&cli.StringFlag{Category: output, Name: "events",
			Usage: "file for the event log of mode ufm"},
		&cli.StringFlag{Category: output, Name: "trace-out",
			Usage: "file for the experts that the tokens chose (slows the steps down)"},
	}
}

func runAction(c *cli.Context) (err error) {
	if err := noArguments(c); err != nil {
		return err
	}
	if err := flagError("format", bench.CheckFormat(c.String("format"))); err != nil {
		return err
	}
	spec, files, err := newSpec(c)
	defer func() { err = errors.Join(err, files.close()) }()
	if err != nil {
		return err
	}
	backend, err := openBackend(c, spec.MemoryLimit)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backend.Close(), validationFindings()) }()

	if spec.Ceilings, err = ceilings(c, backend); err != nil {
		return err
	}
	p := newProgress(c.App.ErrWriter)
	rows, err := bench.Run(c.Context, backend, spec, p)
	p.end()
	return errors.Join(err, printRows(c, rows, backend.Device()), failures(rows))
}

// ceilings are the device's, measured now if they are not kept from before. A run
// goes on without them, with its limit unknown.
func ceilings(c *cli.Context, b moe.Backend) (hardware.Ceilings, error) {
	cache, err := hardware.DefaultCache()
	if err != nil {
		fmt.Fprintln(c.App.ErrWriter, "ufm:", err)
	}
	rates, err := bench.Ceilings(c.Context, b, cache)
	if err != nil && c.Context.Err() == nil {
		fmt.Fprintln(c.App.ErrWriter, "ufm: no limit will be known:", err)
		return hardware.Ceilings{}, nil
	}
	return rates, err
}

// printRows prints what was finished, also of a run that was interrupted.
func printRows(c *cli.Context, rows []bench.Row, d moe.Device) error {
	format := c.String("format")
	if err := bench.Write(c.App.Writer, format, rows); err != nil {
		return err
	}
	verdict := c.App.ErrWriter
	if format == "table" {
		verdict = c.App.Writer
	}
	for _, line := range bench.Verdict(rows, d) {
		if _, err := fmt.Fprintln(verdict, line); err != nil {
			return err
		}
	}
	return nil
}

// failures is an error if any row is one.
func failures(rows []bench.Row) error {
	var errs []error
	for _, r := range rows {
		if r.Status == bench.StatusError || r.Status == bench.StatusLost ||
			r.Status == bench.StatusTimeout {
			errs = append(errs, fmt.Errorf("mode %s failed: %s", r.Mode, *r.Error))
		}
	}
	return errors.Join(errs...)
}

// validationFindings is an error if the validation layers, where they are on, found
// anything.
func validationFindings() error {
	if n, text := vk.ValidationMessages(); n > 0 {
		return fmt.Errorf("vulkan: %d validation messages, first: %s", n, text)
	}
	return nil
}
