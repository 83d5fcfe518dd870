package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"ufm/bench"
	"ufm/internal/trace"
	"ufm/moe"
	"ufm/moe/generate"
)

func synthCommand() *cli.Command {
	return &cli.Command{
		Name:  "synth",
		Usage: "random weights in the shapes of a real model: write them, or measure with them",
		Description: "--out writes a checkpoint. --in-memory keeps the weights in memory and measures " +
			"prefill and decode at each budget, with one bank for all; a random prompt is read " +
			"and continued.",
		Flags:  synthFlags(),
		Action: synthAction,
	}
}

func synthFlags() []cli.Flag {
	const measure, paging = "measuring (--in-memory)", "paging"
	return []cli.Flag{
		&cli.StringFlag{Name: "arch", Usage: strings.Join(moe.SyntheticArchitectures(), ", ")},
		&cli.IntFlag{Name: "layers", Usage: "fewer than the model's; 0: all"},
		&cli.StringFlag{Name: "dtype", Value: "bf16", Usage: "f32, f16 or bf16"},
		&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "of weights and prompt"},
		&cli.StringFlag{Name: "out", Usage: "directory for a checkpoint"},
		&cli.BoolFlag{Name: "in-memory", Usage: "write nothing: measure"},

		&cli.StringFlag{Category: measure, Name: "backend", Value: "auto",
			Usage: "auto, vulkan or cpu"},
		&cli.StringFlag{Category: measure, Name: "device",
			Usage: "Vulkan device: index or part of its name"},
		&cli.IntFlag{Category: measure, Name: "prompt-tokens", Value: 512,
			Usage: "of the prompt, routed by the random gates"},
		&cli.IntFlag{Category: measure, Name: "max-tokens", Value: 256, Usage: "of the answer"},
		&cli.IntFlag{Category: measure, Name: "chunk", Value: generate.DefaultChunk,
			Usage: "most tokens of a prefill step"},
		&cli.StringFlag{Category: measure, Name: "routing",
			Usage: "of decode: trace:FILE (cycles through its decoded tokens, takes its top-k), uniform, " +
				"zipf:S or sticky:P; without it the random gates decide"},
		&cli.StringFlag{Category: measure, Name: "format", Value: "table",
			Usage: "table, json or jsonl"},

		&cli.StringFlag{Category: paging, Name: "budget", Value: "12.5%,25%,50%,100%",
			Usage: "device memory for experts, one or several: 16GiB, 50% or auto"},
		&cli.StringFlag{Category: paging, Name: "vram-limit",
			Usage: "most device memory to take, to stand in for a smaller device"},
		&cli.StringFlag{Category: paging, Name: "policy", Value: "nextuse", Usage: "what evicts"},
		&cli.StringFlag{Category: paging, Name: "prefetch", Value: "auto", Usage: "gate, off or auto"},
	}
}

func synthAction(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	if c.IsSet("out") == c.Bool("in-memory") {
		return usagef("synth needs either --out DIR or --in-memory")
	}
	if !c.IsSet("arch") {
		return usagef("synth needs --arch (%s)", strings.Join(moe.SyntheticArchitectures(), ", "))
	}
	dtype, err := moe.ParseDType(c.String("dtype"))
	if err != nil {
		return flagError("dtype", err)
	}
	m, err := moe.NewSyntheticText(c.String("arch"), c.Int("layers"), dtype, c.Uint64("seed"))
	if err != nil {
		return usageError{err}
	}
	if c.IsSet("out") {
		return writeSynthetic(c, m)
	}
	return measureSynthetic(c, m)
}

// writeSynthetic writes a checkpoint. A bar shows how far it is.
func writeSynthetic(c *cli.Context, m moe.TextModel) error {
	p := newProgress(c.App.ErrWriter)
	total := m.Shape().BankBytes()
	err := moe.WriteCheckpoint(c.Context, m, c.String("out"), func(done int64) {
		p.Progress(bench.BuildingBank, min(done, total), total)
	})
	p.end()
	return err
}

func measureSynthetic(c *cli.Context, m moe.TextModel) (err error) {
	if err := flagError("format", bench.CheckTextFormat(c.String("format"))); err != nil {
		return err
	}
	spec, err := newTextSpec(c, m)
	if err != nil {
		return err
	}
	if spec.MemoryLimit, err = memoryLimit(c); err != nil {
		return err
	}
	backend, err := openTextBackend(c, spec.MemoryLimit)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backend.Close(), validationFindings()) }()
	if spec.Ceilings, err = ceilings(c, backend); err != nil {
		return err
	}
	p := newProgress(c.App.ErrWriter)
	rows, err := bench.RunText(c.Context, backend, spec, p)
	p.end()
	err = errors.Join(err, bench.WriteText(c.App.Writer, c.String("format"), rows))
	for _, r := range rows {
		if r.Status == bench.StatusError || r.Status == bench.StatusLost {
			err = errors.Join(err, fmt.Errorf("%s with %d slots failed: %s", r.Phase, r.Slots, *r.Error))
		} else if r.Error != nil {
			fmt.Fprintf(c.App.ErrWriter, "ufm: %s: %s\n", r.Phase, *r.Error)
		}
	}
	return err
}

// newTextSpec takes what is measured from the flags.
func newTextSpec(c *cli.Context, m moe.TextModel) (spec bench.TextSpec, err error) {
	spec = bench.TextSpec{
		Policy: c.String("policy"), Seed: c.Uint64("seed"), Chunk: c.Int("chunk"),
		PromptTokens: c.Int("prompt-tokens"), MaxTokens: c.Int("max-tokens"),
	}
	if spec.PromptTokens < 1 || spec.MaxTokens < 2 || spec.Chunk < 1 {
		return spec, usagef("--prompt-tokens %d, --max-tokens %d, --chunk %d: "+
			"must be at least 1, 2 and 1",
			spec.PromptTokens, spec.MaxTokens, spec.Chunk)
	}
	for _, text := range strings.Split(c.String("budget"), ",") {
		budget, err := bench.ParseBudget(text)
		if err != nil {
			return spec, flagError("budget", err)
		}
		spec.Budgets = append(spec.Budgets, budget)
	}
	if spec.Prefetch, err = generate.ParsePrefetch(c.String("prefetch")); err != nil {
		return spec, flagError("prefetch", err)
	}
	spec.Model, spec.Routing, err = textRouting(c, m)
	return spec, err
}

// textRouting is that of --routing, and m with its top-k.
func textRouting(c *cli.Context, m moe.TextModel) (moe.TextModel, *moe.Routing, error) {
	text := c.String("routing")
	if text == "" {
		return m, nil, nil
	}
	if path, ok := strings.CutPrefix(text, "trace:"); ok {
		t, err := trace.Open(path)
		if err != nil {
			return nil, nil, flagError("routing", err)
		}
		m = bench.WithTopK(m, t.TopK)
		routing, err := moe.ParseRouting(text, m.Shape(), c.Uint64("seed"),
			func(string) (*moe.RoutingTrace, error) { return decodedTokens(t), nil })
		return m, routing, flagError("routing", err)
	}
	routing, err := moe.ParseRouting(text, m.Shape(), c.Uint64("seed"), nil)
	return m, routing, flagError("routing", err)
}

// decodedTokens is the routing of a trace's decode steps, or of all its tokens if it
// has none.
func decodedTokens(t *trace.Trace) *moe.RoutingTrace {
	r := &moe.RoutingTrace{Layers: t.Layers, Experts: t.Experts, TopK: t.TopK}
	row, token := t.Layers*t.TopK, 0
	for step, size := range t.StepSizes {
		if t.Phases[step] == trace.Decode {
			r.IDs = append(r.IDs, t.Chosen[token*row:(token+int(size))*row]...)
		}
		token += int(size)
	}
	if len(r.IDs) == 0 {
		r.IDs = t.Chosen
	}
	return r
}
