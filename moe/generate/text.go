package generate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"

	"ufm/internal/tokenizer"
	"ufm/moe"
)

const tokenizerFile = "tokenizer.json"

// Text turns text into a model's ids and back.
type Text struct {
	tokens *tokenizer.Tokenizer
	chat   chat
}

// maxPadding is how many ids a vocabulary may have beyond its tokenizer's: it is
// filled up to a round number.
const maxPadding = 1024

// OpenText opens the tokenizer.json of a checkpoint whose directory is fsys. Where it
// has none, the error is fs.ErrNotExist.
func OpenText(fsys fs.FS, c moe.Config) (*Text, error) {
	source, err := fs.ReadFile(fsys, tokenizerFile)
	if err != nil {
		return nil, fmt.Errorf("generate: %w", err)
	}
	t := &Text{}
	if t.tokens, err = tokenizer.Parse(source); err != nil {
		return nil, fmt.Errorf("generate: %s: %w", tokenizerFile, err)
	}
	if n := t.tokens.Size(); n > c.Vocab || n < c.Vocab-maxPadding {
		return nil, fmt.Errorf("generate: %s has %d tokens, but the model's vocab_size is %d: "+
			"it belongs to another model", tokenizerFile, n, c.Vocab)
	}
	t.chat, err = openChat(fsys)
	return t, err
}

// Encode turns text into ids, with those that the model expects before and after it.
func (t *Text) Encode(text string) ([]int32, error) { return t.tokens.Encode(text, true) }

// Decode is the text of ids.
func (t *Text) Decode(ids []int32) string { return t.tokens.Decode(ids, false) }

var specialForm = regexp.MustCompile(`<\|[A-Za-z0-9_]+\|>`)

// UnknownSpecial is the first thing in text that looks like a special token, such as
// <|im_start|>, but is none of this model's; or "".
func (t *Text) UnknownSpecial(text string) string {
	for _, name := range specialForm.FindAllString(text, -1) {
		if _, known := t.tokens.ID(name); !known {
			return name
		}
	}
	return ""
}

// EndOfText lists the ids that end a model's text: those of its config.json and of its
// generation_config.json, if it has one.
func EndOfText(fsys fs.FS, c moe.Config) ([]int32, error) {
	const name = "generation_config.json"
	var ids []int32
	for _, id := range c.EndOfText {
		ids = append(ids, int32(id))
	}
	source, err := fs.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return ids, nil
	}
	var fields struct {
		EndOfText json.RawMessage `json:"eos_token_id"`
	}
	if err == nil {
		err = json.Unmarshal(source, &fields)
	}
	if err != nil {
		return nil, fmt.Errorf("generate: %s: %w", name, err)
	}
	more, err := oneOrMany(fields.EndOfText)
	if err != nil {
		return nil, fmt.Errorf("generate: %s: eos_token_id: %w", name, err)
	}
	ids = append(ids, more...)
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// oneOrMany reads a number, a list of numbers, null or nothing.
func oneOrMany(raw json.RawMessage) ([]int32, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var many []int32
	if json.Unmarshal(raw, &many) == nil {
		return many, nil
	}
	var one int32
	if err := json.Unmarshal(raw, &one); err != nil {
		return nil, fmt.Errorf("neither an id nor a list of ids: %s", raw)
	}
	return []int32{one}, nil
}
