package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"ufm/moe"
	"ufm/moe/generate"
	"ufm/moe/tiny"
)

// textModel is a checkpoint with what turns its ids into text.
type textModel struct {
	model     moe.TextModel
	text      *generate.Text // nil: it has no tokenizer
	noText    error          // why
	endOfText []int32
	close     func() error
}

// openTextModel opens the checkpoint of --model, or the one that is built in.
func openTextModel(c *cli.Context) (*textModel, error) {
	if !c.IsSet("model") {
		return newTextModel(tiny.FS(), tiny.Name)
	}
	dir := c.String("model")
	path, err := filepath.Abs(dir)
	if err != nil {
		return nil, flagError("model", err)
	}
	m, err := newTextModel(os.DirFS(dir), filepath.Base(path))
	if err != nil {
		return nil, fmt.Errorf("--model %s: %w", dir, err)
	}
	return m, nil
}

func newTextModel(fsys fs.FS, name string) (*textModel, error) {
	checkpoint, err := moe.OpenText(fsys, name)
	if err != nil {
		return nil, err
	}
	m := &textModel{model: checkpoint, close: checkpoint.Close}
	m.text, err = generate.OpenText(fsys, checkpoint.Config())
	if errors.Is(err, fs.ErrNotExist) {
		m.noText, err = errors.New("the checkpoint has no tokenizer.json, so it takes --ids alone"), nil
	}
	if err == nil {
		m.endOfText, err = generate.EndOfText(fsys, checkpoint.Config())
	}
	if err != nil {
		return nil, errors.Join(err, checkpoint.Close())
	}
	return m, nil
}

// readPrompt is the ids that the flags or the argument give.
func readPrompt(c *cli.Context, m *textModel) ([]int32, error) {
	if c.NArg() > 1 {
		return nil, usagef("generate takes one prompt, but was also given %q (quote it)", c.Args().Get(1))
	}
	given := 0
	for _, is := range []bool{c.NArg() == 1, c.IsSet("prompt-file"), c.IsSet("ids")} {
		if is {
			given++
		}
	}
	if given > 1 {
		return nil, usagef("the prompt is given twice: PROMPT, --prompt-file and --ids " +
			"exclude each other")
	}
	if name := c.String("ids"); name != "" {
		if c.Bool("chat") {
			return nil, usagef("--chat: needs a prompt in words, not --ids")
		}
		return readIDs(name, m.model.Config())
	}
	text, err := promptText(c)
	if err != nil {
		return nil, err
	}
	return encodePrompt(c, m, text)
}

func encodePrompt(c *cli.Context, m *textModel, text string) ([]int32, error) {
	switch {
	case m.text == nil:
		return nil, usagef("the prompt: %v", m.noText)
	case text == "":
		return nil, usagef("the prompt is empty")
	}
	if name := m.text.UnknownSpecial(text); name != "" {
		return nil, usagef("the prompt has %q, which is no token of this model: "+
			"it would be read letter by letter (--ids takes anything)", name)
	}
	encode := m.text.Encode
	if c.Bool("chat") {
		encode = m.text.EncodeChat
	}
	ids, err := encode(text)
	if err != nil {
		return nil, fmt.Errorf("the prompt: %w", err)
	}
	return ids, nil
}

// promptText is the prompt in words. One line break at the end of a file is its
// editor's, not the prompt's.
func promptText(c *cli.Context) (string, error) {
	if c.NArg() == 1 {
		return c.Args().First(), nil
	}
	var source []byte
	var err error
	switch name := c.String("prompt-file"); {
	case name != "" && name != "-":
		source, err = os.ReadFile(name)
		err = flagError("prompt-file", err)
	case name == "" && term.IsTerminal(int(os.Stdin.Fd())):
		return "", usagef("generate needs a prompt: an argument, --prompt-file, --ids, or standard input")
	default:
		source, err = io.ReadAll(os.Stdin)
	}
	text := strings.TrimSuffix(string(source), "\n")
	return strings.TrimSuffix(text, "\r"), err
}

// readIDs reads a JSON array of ids.
func readIDs(name string, config moe.Config) ([]int32, error) {
	var ids []int32
	if err := readJSON(name, &ids); err != nil {
		return nil, usagef("--ids: %s is no JSON array of token ids: %w", name, err)
	}
	if len(ids) == 0 {
		return nil, usagef("--ids: %s is empty", name)
	}
	return ids, checkIDs(name, ids, config)
}

func checkIDs(name string, ids []int32, config moe.Config) error {
	for i, id := range ids {
		if id < 0 || int(id) >= config.Vocab {
			return usagef("--ids: %s: id %d at place %d lies outside the vocabulary of %d",
				name, id, i, config.Vocab)
		}
	}
	return nil
}

// readJSON reads one JSON value and nothing else.
func readJSON(name string, value any) error {
	source, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return json.Unmarshal(source, value)
}
