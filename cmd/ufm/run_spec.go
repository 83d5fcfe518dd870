package main

import (
	"errors"
	"io"
	"math"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"ufm/bench"
)

// openFiles are what a run reads and writes.
type openFiles []io.Closer

func (f openFiles) close() error {
	var errs []error
	for _, c := range f {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// newSpec makes a run from the flags. The files are to be closed, error or not.
func newSpec(c *cli.Context) (spec bench.Spec, files openFiles, err error) {
	for _, set := range []func(*cli.Context, *bench.Spec) error{
		setModes, setWindow, setPaging,
	} {
		if err := set(c, &spec); err != nil {
			return spec, nil, err
		}
	}
	if files, err = openModel(c, &spec); err != nil {
		return spec, files, err
	}
	if err := setTokens(c, &spec); err != nil {
		return spec, files, err
	}
	outputs, err := openOutputs(c, &spec.Events, &spec.TraceOut)
	files = append(files, outputs...)
	if err != nil {
		return spec, files, err
	}
	if err := spec.Validate(); err != nil {
		return spec, files, usageError{err}
	}
	return spec, files, nil
}

func setModes(c *cli.Context, spec *bench.Spec) error {
	for _, name := range strings.Split(c.String("mode"), ",") {
		mode, err := bench.ParseMode(name)
		if err != nil {
			return flagError("mode", err)
		}
		spec.Modes = append(spec.Modes, mode)
	}
	return nil
}

// setWindow sets what is measured.
func setWindow(c *cli.Context, spec *bench.Spec) error {
	spec.Seed, spec.Verify = c.Uint64("seed"), c.Bool("verify")
	if c.IsSet("steps") {
		if c.IsSet("seconds") {
			return usagef("--steps and --seconds: give one of them")
		}
		spec.Steps = c.Int("steps")
		if spec.Steps < 1 {
			return usagef("--steps: must be at least 1, not %d", spec.Steps)
		}
		return nil
	}
	seconds := c.Float64("seconds")
	const most = float64(math.MaxInt64 / int64(time.Second))
	if !(seconds > 0 && seconds < most) {
		return usagef("--seconds: must lie above 0 and below %.0f, not %v", most, seconds)
	}
	spec.Duration = time.Duration(seconds * float64(time.Second))
	return nil
}

func setPaging(c *cli.Context, spec *bench.Spec) (err error) {
	budget := c.String("budget")
	if !c.IsSet("budget") && builtIn(c) {
		budget = "50%"
	}
	if spec.Budget, err = bench.ParseBudget(budget); err != nil {
		return flagError("budget", err)
	}
	if spec.MemoryLimit, err = memoryLimit(c); err != nil {
		return err
	}
	spec.Policy = c.String("policy")
	switch p := c.String("prefetch"); p {
	case "off", "auto":
		return nil // a run of separate layers leaves nothing to foresee
	case "gate":
		return usagef("--prefetch gate: needs the hidden state of a whole model; " +
			"ufm run feeds each layer on its own (off, auto)")
	default:
		return usagef("--prefetch: unknown prefetch %q (off, auto)", p)
	}
}

// setTokens comes after the model: with recorded activations one token is a step.
func setTokens(c *cli.Context, spec *bench.Spec) error {
	spec.Tokens = c.Int("tokens")
	if spec.Activations != nil && !c.IsSet("tokens") {
		spec.Tokens = 1
	}
	if spec.Tokens < 1 || spec.Tokens > bench.MaxTokens {
		return usagef("--tokens: must lie between 1 and %d, not %d", bench.MaxTokens, spec.Tokens)
	}
	return nil
}
