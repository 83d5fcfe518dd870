package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"ufm/bench"
	"ufm/moe"
	"ufm/moe/tiny"
)

// shapeFlags, if any is given, ask for a synthetic model.
var shapeFlags = []string{
	"layers", "experts", "d-model", "d-hidden", "top-k", "form", "dtype",
}

// shapeFlag is the first flag that asks for a synthetic model, or "".
func shapeFlag(c *cli.Context) string {
	for _, name := range shapeFlags {
		if c.IsSet(name) {
			return name
		}
	}
	return ""
}

// builtIn tells whether the run is about the checkpoint that comes with the program.
func builtIn(c *cli.Context) bool {
	return !c.IsSet("model") && !c.IsSet("routing") && shapeFlag(c) == ""
}

// openModel sets the model and what is fed to it.
func openModel(c *cli.Context, spec *bench.Spec) (files openFiles, err error) {
	if err := checkModelFlags(c); err != nil {
		return nil, err
	}
	switch {
	case builtIn(c):
		files, err = openBuiltIn(spec)
	case c.IsSet("model"):
		files, err = openCheckpoint(c, spec)
	default:
		err = newSynthetic(c, spec)
	}
	if err != nil {
		return files, err
	}
	return files, setRouting(c, spec)
}

// checkModelFlags refuses flags that contradict each other.
func checkModelFlags(c *cli.Context) error {
	flag := shapeFlag(c)
	switch {
	case c.IsSet("model") && flag != "":
		return usagef("--%s: the checkpoint of --model has a shape of its own", flag)
	case c.IsSet("activations") && !c.IsSet("model"):
		return usagef("--activations: needs the checkpoint that it was recorded from (--model)")
	case c.IsSet("activations") && c.IsSet("routing"):
		return usagef("--routing: recorded activations were routed by the model's own router")
	}
	return nil
}

func openBuiltIn(spec *bench.Spec) (openFiles, error) {
	checkpoint, err := moe.OpenCheckpoint(tiny.FS(), tiny.Name)
	if err != nil {
		return nil, err
	}
	spec.Model = checkpoint
	recording, err := tiny.FS().Open(tiny.ActivationsFile)
	if err == nil {
		err = readActivations(spec, recording, tiny.ActivationsFile)
	}
	return openFiles{checkpoint}, err
}

func openCheckpoint(c *cli.Context, spec *bench.Spec) (openFiles, error) {
	dir := c.String("model")
	path, err := filepath.Abs(dir)
	if err != nil {
		return nil, flagError("model", err)
	}
	checkpoint, err := moe.OpenCheckpoint(os.DirFS(dir), filepath.Base(path))
	if err != nil {
		return nil, fmt.Errorf("--model %s: %w", dir, err)
	}
	spec.Model = checkpoint
	if name := c.String("activations"); name != "" {
		var recording fs.File
		if recording, err = os.Open(name); err == nil {
			err = readActivations(spec, recording, name)
		}
	}
	return openFiles{checkpoint}, err
}

// readActivations reads a whole recording and closes its file.
func readActivations(spec *bench.Spec, f fs.File, name string) error {
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	r, ok := f.(io.ReaderAt)
	if !ok || !info.Mode().IsRegular() {
		return fmt.Errorf("activations: %s is not a regular file", name)
	}
	spec.Activations, err = moe.OpenActivations(r, info.Size(), name, spec.Model.Shape())
	return err
}

// newSynthetic makes a seeded model of the shape that the flags give.
func newSynthetic(c *cli.Context, spec *bench.Spec) error {
	form, err := moe.ParseForm(c.String("form"))
	if err != nil {
		return flagError("form", err)
	}
	dtype, err := moe.ParseDType(c.String("dtype"))
	if err != nil {
		return flagError("dtype", err)
	}
	shape := moe.Shape{
		Layers: c.Int("layers"), Experts: c.Int("experts"), TopK: c.Int("top-k"),
		DModel: c.Int("d-model"), DHidden: c.Int("d-hidden"), Form: form, DType: dtype,
	}
	if err := shape.Validate(); err != nil {
		return usageError{err}
	}
	spec.Model, err = moe.NewSynthetic(shape, spec.Seed)
	return err
}

// setRouting takes a generated routing for a synthetic model, and for a checkpoint only
// if one is asked for: its own router makes the better choice.
func setRouting(c *cli.Context, spec *bench.Spec) error {
	if builtIn(c) || c.IsSet("model") && !c.IsSet("routing") {
		return nil
	}
	routing, err := moe.ParseRouting(
		c.String("routing"), spec.Model.Shape(), spec.Seed, loadRouting)
	if err != nil {
		return flagError("routing", err)
	}
	spec.Routing = routing
	return nil
}
