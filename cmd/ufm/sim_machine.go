package main

import (
	"github.com/urfave/cli/v2"

	"ufm/bench"
	"ufm/moe"
	"ufm/sim"
)

// machineFlags say what experts a trace's model has, which the trace does not tell.
func machineFlags(category string) []cli.Flag {
	return []cli.Flag{
		&cli.IntFlag{Category: category, Name: "d-model", Usage: "of the trace's model"},
		&cli.IntFlag{Category: category, Name: "d-hidden", Usage: "of an expert"},
		&cli.StringFlag{Category: category, Name: "form", Value: "swiglu", Usage: "gelu or swiglu"},
		&cli.StringFlag{Category: category, Name: "dtype", Value: "bf16", Usage: "f32, f16 or bf16"},
	}
}

// newMachine reads what the time model needs; nil where no hardware is named.
func newMachine(c *cli.Context) (*sim.Machine, error) {
	shape := moe.Shape{
		Layers: 1, Experts: 1, TopK: 1, DModel: c.Int("d-model"), DHidden: c.Int("d-hidden"),
	}
	var err error
	if shape.Form, err = moe.ParseForm(c.String("form")); err != nil {
		return nil, flagError("form", err)
	}
	if shape.DType, err = moe.ParseDType(c.String("dtype")); err != nil {
		return nil, flagError("dtype", err)
	}
	if !c.IsSet("hardware") {
		for _, flag := range []string{"d-model", "d-hidden", "form", "dtype"} {
			if c.IsSet(flag) {
				return nil, usagef("--%s: counts do not depend on it (with --hardware times do)", flag)
			}
		}
		return nil, nil
	}
	if c.Bool("flat") {
		return nil, usagef("--flat: single accesses have no time (without --hardware)")
	}
	if err := shape.Validate(); err != nil {
		return nil, usagef("--hardware: needs --d-model and --d-hidden of the trace's model: %w", err)
	}
	device, err := openHardware(c)
	if err != nil {
		return nil, err
	}
	return bench.Machine(shape, *device), nil
}
