package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"ufm/bench"
	"ufm/internal/hardware"
	"ufm/moe"
	"ufm/moe/generate"
	"ufm/pager"
)

// textFlags are what all commands have that run whole models.
func textFlags() []cli.Flag {
	const paging, output = "paging", "output"
	return []cli.Flag{
		&cli.StringFlag{Name: "model", Usage: "checkpoint directory"},
		&cli.StringFlag{Name: "backend", Value: "auto", Usage: "auto, vulkan or cpu"},
		&cli.StringFlag{Name: "device", Usage: "Vulkan device: index or part of its name"},
		&cli.IntFlag{Name: "context",
			Usage: "most tokens of a sequence; as many as are needed, unless given"},
		&cli.IntFlag{Name: "chunk", Value: generate.DefaultChunk,
			Usage: "most tokens of a prefill step"},

		&cli.StringFlag{Category: paging, Name: "budget", Value: "auto",
			Usage: "device memory for experts: 16GiB, 50% or auto; the built-in model has 50%"},
		&cli.StringFlag{Category: paging, Name: "vram-limit",
			Usage: "most device memory to take, to stand in for a smaller device"},
		&cli.StringFlag{Category: paging, Name: "policy", Value: "nextuse", Usage: "what evicts"},

		&cli.StringFlag{Category: output, Name: "events", Usage: "file for the event log"},
		&cli.StringFlag{Category: output, Name: "trace-out",
			Usage: "file for the experts that the tokens chose (slows the steps down)"},
	}
}

// sessionOptions takes what the flags of textFlags and --prefetch say of a session.
func sessionOptions(c *cli.Context) (o generate.Options, err error) {
	o = generate.Options{
		Chunk: c.Int("chunk"), Policy: c.String("policy"), Seed: c.Uint64("seed"),
		Prefetch: generate.PrefetchOff,
	}
	if c.IsSet("context") && c.Int("context") < 1 {
		return o, usagef("--context: must be at least 1, not %d", c.Int("context"))
	}
	if o.Chunk < 1 || o.Chunk > bench.MaxTokens {
		return o, usagef("--chunk: must lie between 1 and %d, not %d", bench.MaxTokens, o.Chunk)
	}
	if name := c.String("prefetch"); name != "" {
		if o.Prefetch, err = generate.ParsePrefetch(name); err != nil {
			return o, flagError("prefetch", err)
		}
	}
	return o, nil
}

// textBudget is that of --budget; the built-in model is small, so it gets half.
func textBudget(c *cli.Context) (bench.Budget, error) {
	text := c.String("budget")
	if !c.IsSet("budget") && !c.IsSet("model") {
		text = "50%"
	}
	budget, err := bench.ParseBudget(text)
	return budget, flagError("budget", err)
}

// withSession calls use with m on the device that the flags ask for, and gives
// everything back.
func withSession(
	c *cli.Context, m *textModel, opts generate.Options, use func(*generate.Session) error,
) (err error) {
	budget, err := textBudget(c)
	if err != nil {
		return err
	}
	shape := m.model.Shape().Paging()
	if _, err := pager.NewPolicy(opts.Policy, shape, shape.Universe()); err != nil {
		return flagError("policy", err)
	}
	limit, err := memoryLimit(c)
	if err != nil {
		return err
	}
	files, err := openOutputs(c, &opts.Events, &opts.TraceOut)
	defer func() { err = errors.Join(err, files.close()) }()
	if err != nil {
		return err
	}
	backend, err := openTextBackend(c, limit)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backend.Close(), validationFindings()) }()
	if opts.Slots, err = planSlots(c, backend, m.model, opts, budget, limit); err != nil {
		return err
	}
	opts.Resident = allAtOnce(opts, shape.Universe(), backend.Device())
	opts.LinkGBs = knownLink(backend)
	session, err := generate.New(backend, m.model, opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, session.Close()) }()
	bank, err := buildBank(c, backend, m.model)
	if err != nil {
		return err
	}
	// The session first: a prefetch may still read the bank.
	defer func() { err = errors.Join(err, session.Close(), bank.Close()) }()
	if err := session.Attach(c.Context, bank); err != nil {
		return err
	}
	return use(session)
}

// allAtOnce tells whether all experts are uploaded before the prompt is read: where they fit, and are
// not copies within one memory, of which a short answer needs few. An event log begins with an
// empty pool.
func allAtOnce(opts generate.Options, universe int, d moe.Device) bool {
	return opts.Slots == universe && !d.Unified && opts.Events == nil
}

// openTextBackend opens a backend that can run whole models.
func openTextBackend(c *cli.Context, limit int64) (moe.TextBackend, error) {
	b, err := openBackend(c, limit)
	if err != nil {
		return nil, err
	}
	if t, ok := b.(moe.TextBackend); ok {
		return t, nil
	}
	return nil, errors.Join(fmt.Errorf("backend %s cannot run whole models", b.Name()), b.Close())
}

// planSlots says what device memory goes to, and returns what is left for experts.
func planSlots(
	c *cli.Context, b moe.TextBackend, m moe.TextModel, opts generate.Options,
	budget bench.Budget, limit int64,
) (int, error) {
	cfg, err := opts.Config(m)
	if err != nil {
		return 0, usageError{err}
	}
	plan, err := bench.PlanMemory(b, m, cfg, budget, limit)
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(c.App.ErrWriter, "ufm: memory for %d tokens of context:\n", cfg.Context)
	for _, line := range plan.Lines() {
		fmt.Fprintln(c.App.ErrWriter, "ufm:", line)
	}
	if note := budget.Note(m.Shape()); note != "" {
		tell(c, note)
	}
	for _, line := range bench.PoolNotes(m.Shape(), plan.Slots, b.Device()) {
		fmt.Fprintln(c.App.ErrWriter, "ufm:", line)
	}
	return plan.Slots, nil
}

// knownLink is the rate of the device's link, if it was ever measured.
func knownLink(b moe.Backend) float64 {
	cache, err := hardware.DefaultCache()
	if err != nil {
		return 0
	}
	d := b.Device()
	rates, _ := cache.Load(b.Name(), d.Name, d.Driver)
	return rates.LinkGBs
}

func buildBank(c *cli.Context, b moe.Backend, m moe.Model) (moe.Bank, error) {
	p := newProgress(c.App.ErrWriter)
	defer p.end()
	return bench.BuildBank(c.Context, b, m, p)
}
