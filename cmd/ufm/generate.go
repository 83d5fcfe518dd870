package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"ufm/moe/generate"
)

func generateCommand() *cli.Command {
	return &cli.Command{
		Name:      "generate",
		Usage:     "continue a text with a whole model, experts paged",
		ArgsUsage: "[PROMPT]",
		Description: "The prompt is the argument, --prompt-file, --ids, or standard input. " +
			"Without --model the checkpoint that is built in answers, with half of its experts " +
			"in memory.",
		Flags:  generateFlags(),
		Action: generateAction,
	}
}

func generateFlags() []cli.Flag {
	const prompt, answer, paging, output = "prompt", "answer", "paging", "output"
	flags := []cli.Flag{
		&cli.StringFlag{Category: prompt, Name: "prompt-file",
			Usage: "file with the prompt; - is standard input"},
		&cli.StringFlag{Category: prompt, Name: "ids",
			Usage: "file with a JSON array of token ids, in place of text"},
		&cli.BoolFlag{Category: prompt, Name: "chat",
			Usage: "the prompt is a message: put it into the checkpoint's chat template"},

		&cli.IntFlag{Category: answer, Name: "max-tokens", Value: 256,
			Usage: "0 reads the prompt, and that is all"},
		&cli.BoolFlag{Category: answer, Name: "ignore-eos", Usage: "go on after the end of text"},
		&cli.StringSliceFlag{Category: answer, Name: "stop",
			Usage: "text to stop at; may be given again"},
		&cli.Float64Flag{Category: answer, Name: "temperature",
			Usage: "0 takes the likeliest token, always"},
		&cli.IntFlag{Category: answer, Name: "top-k", Usage: "only the k likeliest tokens; 0: all"},
		&cli.Float64Flag{Category: answer, Name: "top-p", Value: 1,
			Usage: "only the likeliest tokens with that much probability"},
		&cli.Uint64Flag{Category: answer, Name: "seed", Value: 1, Usage: "of what is drawn"},
	}
	return append(append(flags, textFlags()...),
		&cli.StringFlag{Category: paging, Name: "prefetch", Value: "auto",
			Usage: "upload the next layer's experts ahead: gate, off, or auto (where it is faster)"},
		&cli.StringFlag{Category: output, Name: "format", Value: "text", Usage: "text or json"})
}

func generateAction(c *cli.Context) (err error) {
	if f := c.String("format"); f != "text" && f != "json" {
		return usagef("--format: unknown format %q (text, json)", f)
	}
	m, err := openTextModel(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	r, err := newRequest(c, m)
	if err != nil {
		return err
	}
	opts, err := sessionOptions(c)
	if err != nil {
		return err
	}
	opts.Context = len(r.Prompt) + r.MaxTokens
	if c.IsSet("context") {
		opts.Context = c.Int("context")
	} else if most := m.model.Config().MaxPositions; most > 0 {
		opts.Context = min(opts.Context, most)
	}
	if len(r.Prompt) > opts.Context {
		return usagef("the prompt has %d tokens, but the context is %d", len(r.Prompt), opts.Context)
	}
	return withSession(c, m, opts, func(s *generate.Session) error {
		return answer(c, s, r)
	})
}

// answer generates, prints, and accounts for it, also if it was interrupted.
func answer(c *cli.Context, s *generate.Session, r generate.Request) error {
	p := printer{w: c.App.Writer}
	emit := p.text
	if c.String("format") == "json" {
		emit = nil
	} else if r.Text == nil {
		r.Token = p.id
	}
	report, err := s.Generate(c.Context, r, emit)
	if report == nil {
		return err
	}
	if c.String("format") == "json" {
		e := json.NewEncoder(c.App.Writer)
		e.SetEscapeHTML(false)
		err = errors.Join(err, e.Encode(report))
	} else {
		err = errors.Join(err, p.end())
	}
	for _, line := range report.Lines() {
		fmt.Fprintln(c.App.ErrWriter, "ufm:", line)
	}
	return err
}

// newRequest takes prompt and sampling from the flags.
func newRequest(c *cli.Context, m *textModel) (r generate.Request, err error) {
	r = generate.Request{
		MaxTokens: c.Int("max-tokens"), Text: m.text, Stop: c.StringSlice("stop"),
		EndOfText: m.endOfText,
		Sampling: generate.Sampling{Temperature: c.Float64("temperature"), TopK: c.Int("top-k"),
			TopP: c.Float64("top-p"), Seed: c.Uint64("seed")},
	}
	if c.Bool("ignore-eos") {
		r.EndOfText = nil
	}
	if r.MaxTokens < 0 {
		return r, usagef("--max-tokens: must be at least 0, not %d", r.MaxTokens)
	}
	if p := c.Float64("top-p"); !(p > 0 && p <= 1) {
		return r, usagef("--top-p: must lie above 0 and at most at 1, not %v", p)
	}
	if err := r.Sampling.Validate(); err != nil {
		return r, usageError{err}
	}
	if len(r.Stop) > 0 && m.text == nil {
		return r, usagef("--stop: %v", m.noText)
	}
	for _, stop := range r.Stop {
		if stop == "" {
			return r, usagef("--stop: is empty")
		}
	}
	r.Prompt, err = readPrompt(c, m)
	return r, err
}

// printer writes an answer as it comes.
type printer struct {
	w    io.Writer
	last string // what was written last
}

func (p *printer) text(piece string) error {
	p.last = piece
	_, err := io.WriteString(p.w, piece)
	return err
}

// id is for models without a tokenizer. An error shows at the end.
func (p *printer) id(id int32) {
	piece := fmt.Sprint(id)
	if p.last != "" {
		piece = " " + piece
	}
	_ = p.text(piece)
}

// end leaves the prompt of a shell on a line of its own.
func (p *printer) end() error {
	if p.last == "" || strings.HasSuffix(p.last, "\n") {
		return nil
	}
	return p.text("\n")
}
