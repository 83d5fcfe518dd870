package main

import (
	"encoding/json"
	"errors"
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"ufm/moe"
	"ufm/moe/generate"
)

func perplexityCommand() *cli.Command {
	return &cli.Command{
		Name:  "perplexity",
		Usage: "score a text: mean negative log-likelihood of its tokens",
		Description: "Prints a JSON object: nll, in nats, and tokens, how many were predicted. " +
			"A text longer than --context is scored in pieces, each on its own. Without --model " +
			"the checkpoint that is built in is asked.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "text", Usage: "file with the text"},
			&cli.StringFlag{Name: "ids",
				Usage: "file with a JSON array of arrays of token ids, each scored on its own"},
		}, textFlags()...),
		Action: perplexityAction,
	}
}

func perplexityAction(c *cli.Context) (err error) {
	if err := noArguments(c); err != nil {
		return err
	}
	if c.IsSet("text") == c.IsSet("ids") {
		return usagef("perplexity needs either --text or --ids")
	}
	m, err := openTextModel(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	opts, err := sessionOptions(c)
	if err != nil {
		return err
	}
	sequences, err := readSequences(c, m)
	if err != nil {
		return err
	}
	opts.Score = true
	opts.Context = longest(sequences)
	if c.IsSet("context") {
		opts.Context = c.Int("context")
	}
	return withSession(c, m, opts, func(s *generate.Session) error {
		score, err := s.Perplexity(c.Context, sequences)
		if err != nil {
			return err
		}
		return json.NewEncoder(c.App.Writer).Encode(score)
	})
}

// readSequences is what --ids or --text has, in pieces that fit the context.
func readSequences(c *cli.Context, m *textModel) ([][]int32, error) {
	config := m.model.Config()
	if name := c.String("ids"); name != "" {
		var sequences [][]int32
		if err := readJSON(name, &sequences); err != nil {
			return nil, usagef("--ids: %s is no JSON array of arrays of token ids: %w", name, err)
		}
		return sequences, checkSequences(c, name, sequences, config)
	}
	if m.text == nil {
		return nil, usagef("--text: %v", m.noText)
	}
	text, err := os.ReadFile(c.String("text"))
	if err != nil {
		return nil, flagError("text", err)
	}
	ids, err := m.text.Encode(string(text))
	if err != nil {
		return nil, err
	}
	if len(ids) < 2 {
		return nil, usagef("--text: %s has %d tokens, which predict nothing", c.String("text"), len(ids))
	}
	return pieces(ids, scoredContext(c, config)), nil
}

func checkSequences(c *cli.Context, name string, sequences [][]int32, config moe.Config) error {
	if len(sequences) == 0 {
		return usagef("--ids: %s is empty", name)
	}
	for i, ids := range sequences {
		if len(ids) < 2 {
			return usagef("--ids: %s: sequence %d has %d tokens, which predict nothing",
				name, i, len(ids))
		}
		if n := c.Int("context"); n > 0 && len(ids) > n {
			return usagef("--ids: %s: sequence %d has %d tokens, the context %d", name, i, len(ids), n)
		}
		if err := checkIDs(name, ids, config); err != nil {
			return err
		}
	}
	return nil
}

// defaultScored is the length of the pieces of a text, unless told otherwise.
const defaultScored = 2048

func scoredContext(c *cli.Context, config moe.Config) int {
	if n := c.Int("context"); n > 1 {
		return n
	}
	if config.MaxPositions > 1 {
		return min(config.MaxPositions, defaultScored)
	}
	return defaultScored
}

// pieces cuts ids. A last piece of one token would predict nothing: it is left out.
func pieces(ids []int32, most int) [][]int32 {
	cut := slices.Collect(slices.Chunk(ids, most))
	if last := len(cut) - 1; len(cut[last]) < 2 {
		cut = cut[:last]
	}
	return cut
}

func longest(sequences [][]int32) int {
	n := 0
	for _, ids := range sequences {
		n = max(n, len(ids))
	}
	return n
}
