package moe

import "fmt"

// Validate tells what is wrong with b for a runner of a model with config c made for
// cfg, whose sequence has position tokens.
func (b *TextBatch) Validate(cfg TextConfig, c Config, position int) error {
	tokens := len(b.IDs)
	if tokens < 1 || tokens > cfg.Run.MaxTokens {
		return fmt.Errorf("moe: step %d has %d tokens: the runner takes 1 to %d",
			b.Step, tokens, cfg.Run.MaxTokens)
	}
	if tokens > cfg.Context-position {
		return fmt.Errorf("moe: step %d: %d tokens after %d exceed the context of %d",
			b.Step, tokens, position, cfg.Context)
	}
	for i, id := range b.IDs {
		if id < 0 || int(id) >= c.Vocab {
			return fmt.Errorf("moe: step %d: token %d has id %d, the vocabulary has %d",
				b.Step, i, id, c.Vocab)
		}
	}
	if rows := len(b.Logits) / c.Vocab; len(b.Logits)%c.Vocab != 0 || rows > tokens ||
		rows > max(cfg.Logits, 1) {
		return fmt.Errorf("moe: step %d: room for %d logits is not for 1 to %d tokens of %d each",
			b.Step, len(b.Logits), min(tokens, max(cfg.Logits, 1)), c.Vocab)
	}
	chosen := c.Layers * tokens * c.TopK
	if b.Routing != nil {
		if err := checkRouting(cfg.Run.Shape, b.Routing, chosen); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		name string
		got  int
	}{
		{"experts", len(b.Experts)}, {"weights", len(b.Weights)}, {"predictions", len(b.Predicted)},
	} {
		if f.got != 0 && f.got != chosen {
			return fmt.Errorf("moe: step %d: room for %d %s, not %d", b.Step, f.got, f.name, chosen)
		}
	}
	return nil
}
