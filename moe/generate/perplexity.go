package generate

import (
	"context"
	"fmt"
	"math"
	"slices"

	"ufm/pager"
)

// Score is how well a model foresaw a text.
type Score struct {
	NLL    float64 `json:"nll"`    // mean negative log-likelihood of a token, in nats
	Tokens int     `json:"tokens"` // that were predicted
}

// Perplexity scores sequences, each on its own: every token but a sequence's first. The
// session must have been made with Options.Score.
func (s *Session) Perplexity(ctx context.Context, sequences [][]int32) (Score, error) {
	if err := s.checkSequences(sequences); err != nil {
		return Score{}, err
	}
	vocab := s.model.Config().Vocab
	logits := make([]float32, s.cfg.Run.MaxTokens*vocab)
	score, sum := Score{}, 0.0
	for _, ids := range sequences {
		s.runner.Reset()
		done := 0
		for chunk := range slices.Chunk(ids, s.cfg.Run.MaxTokens) {
			if err := ctx.Err(); err != nil {
				return Score{}, err
			}
			rows := logits[:len(chunk)*vocab] // (tokens, vocab)
			if _, err := s.forward(ctx, pager.Prefill, chunk, rows); err != nil {
				return Score{}, err
			}
			done += len(chunk)
			nexts := ids[done-len(chunk)+1 : min(done+1, len(ids))]
			for i, next := range nexts {
				loss, err := surprise(rows[i*vocab:][:vocab], next)
				if err != nil {
					return Score{}, err
				}
				sum += loss
			}
			score.Tokens += len(nexts)
		}
	}
	score.NLL = sum / float64(score.Tokens)
	return score, nil
}

func (s *Session) checkSequences(sequences [][]int32) error {
	if !s.opts.Score {
		return fmt.Errorf("generate: perplexity needs a session made with Options.Score")
	}
	if len(sequences) == 0 {
		return fmt.Errorf("generate: perplexity: no sequences")
	}
	for i, ids := range sequences {
		if len(ids) < 2 {
			return fmt.Errorf("generate: perplexity: sequence %d has %d tokens, which predict nothing",
				i, len(ids))
		}
		if len(ids) > s.cfg.Context {
			return fmt.Errorf("generate: perplexity: sequence %d has %d tokens, the context %d",
				i, len(ids), s.cfg.Context)
		}
	}
	return nil
}

// surprise is minus the logarithm of a token's probability.
func surprise(logits []float32, token int32) (float64, error) {
	best, err := likeliest(logits)
	if err != nil {
		return 0, err
	}
	highest, sum := float64(logits[best]), 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - highest)
	}
	return math.Log(sum) + highest - float64(logits[token]), nil
}
