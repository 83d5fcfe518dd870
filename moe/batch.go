package moe

import "fmt"

// Validate tells what is wrong with b for a runner made for cfg. last is the number of
// values of the last input that the runner was given, 0 if none: b repeats it if its
// own input is nil.
func (b *Batch) Validate(cfg RunConfig, last int) error {
	s := cfg.Shape
	if b.Tokens < 1 || b.Tokens > cfg.MaxTokens {
		return fmt.Errorf("moe: step %d has %d tokens: the runner takes 1 to %d",
			b.Step, b.Tokens, cfg.MaxTokens)
	}
	if err := b.validateInput(s, last); err != nil {
		return err
	}
	if b.Routing != nil {
		if err := checkRouting(s, b.Routing, s.Layers*b.Tokens*s.TopK); err != nil {
			return err
		}
	}
	return b.validateCapture(s)
}

func (b *Batch) validateInput(s Shape, last int) error {
	want := b.Tokens * s.DModel
	if b.PerLayer {
		want *= s.Layers
	}
	switch {
	case b.Input == nil && last == 0:
		return fmt.Errorf("moe: step %d has no input, and there is no earlier one to repeat", b.Step)
	case b.Input == nil && last != want:
		return fmt.Errorf("moe: step %d repeats an input of %d values, but takes %d",
			b.Step, last, want)
	case b.Input != nil && len(b.Input) != want:
		return fmt.Errorf("moe: step %d: input has %d values, not %d", b.Step, len(b.Input), want)
	}
	return nil
}

func (b *Batch) validateCapture(s Shape) error {
	c := b.Capture
	if c == nil {
		return nil
	}
	values, chosen := b.Tokens*s.DModel, b.Tokens*s.TopK
	for _, f := range []struct {
		name      string
		got, want int
	}{
		{"inputs", len(c.Input), s.Layers * values},
		{"outputs", len(c.Output), s.Layers * values},
		{"experts", len(c.Experts), s.Layers * chosen},
		{"weights", len(c.Weights), s.Layers * chosen},
	} {
		if f.got != 0 && f.got != f.want {
			return fmt.Errorf("moe: step %d: capture of %s has room for %d, not %d",
				b.Step, f.name, f.got, f.want)
		}
	}
	return nil
}
