package tokenizer

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// Tokenizer is a checkpoint's tokenizer.
type Tokenizer struct {
	bpe       *bpe
	raw       matcher // added tokens looked for in the text as it comes
	after     matcher // added tokens looked for in normalized text
	normalize normalizer
	split     splitter
	decode    decoder
	before    []int32 // the template's ids before a text
	behind    []int32 // and after it
	tokens    []string
	known     []bool // by id: there is such a token
	special   []bool // by id
	byText    map[string]int32
}

// Parse reads a tokenizer.json.
func Parse(text []byte) (*Tokenizer, error) {
	var f file
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	t, err := newTokenizer(&f)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return t, nil
}

func newTokenizer(f *file) (t *Tokenizer, err error) {
	if err := f.Model.check(); err != nil {
		return nil, err
	}
	t = &Tokenizer{}
	if err := t.index(f); err != nil {
		return nil, err
	}
	if t.bpe, err = newBPE(&f.Model); err != nil {
		return nil, err
	}
	if t.normalize, err = newNormalizer(f.Normalizer); err != nil {
		return nil, err
	}
	if t.split, err = newSplitter(f.PreTokenizer); err != nil {
		return nil, err
	}
	if err := t.bpe.checkBytes(t.split.bytes); err != nil {
		return nil, err
	}
	if t.decode, err = newDecoder(f.Decoder); err != nil {
		return nil, err
	}
	t.raw, t.after = newMatchers(f.AddedTokens, t.normalize)
	return t, t.template(f.PostProcessor)
}

// maxID keeps a file with one absurd id from taking all memory.
const maxID = 1 << 21

// index makes the tables by id.
func (t *Tokenizer) index(f *file) error {
	size := 0
	count := func(content string, id int32) error {
		if id < 0 || id >= maxID {
			return fmt.Errorf("token %q has id %d: must lie between 0 and %d", content, id, maxID-1)
		}
		size = max(size, int(id)+1)
		return nil
	}
	for content, id := range f.Model.Vocab {
		if err := count(content, id); err != nil {
			return err
		}
	}
	for _, a := range f.AddedTokens {
		if err := count(a.Content, a.ID); err != nil {
			return err
		}
	}
	t.tokens, t.known = make([]string, size), make([]bool, size)
	t.special = make([]bool, size)
	t.byText = make(map[string]int32, len(f.Model.Vocab)+len(f.AddedTokens))
	for content, id := range f.Model.Vocab {
		if t.known[id] {
			return fmt.Errorf("tokens %q and %q have the same id %d",
				min(t.tokens[id], content), max(t.tokens[id], content), id)
		}
		t.add(content, id)
	}
	for _, a := range f.AddedTokens {
		if a.Content == "" {
			return fmt.Errorf("added token %d is empty", a.ID)
		}
		if t.known[a.ID] && t.tokens[a.ID] != a.Content {
			return fmt.Errorf("added token %q has id %d, which is %q",
				a.Content, a.ID, t.tokens[a.ID])
		}
		t.add(a.Content, a.ID)
		t.special[a.ID] = a.Special
	}
	return nil
}

func (t *Tokenizer) add(content string, id int32) {
	t.tokens[id], t.known[id], t.byText[content] = content, true, id
}

// template takes over the ids that stand around every text.
func (t *Tokenizer) template(p *part) error {
	if p == nil {
		return nil
	}
	switch p.Type {
	case "ByteLevel": // corrects offsets, which nobody here asks for
		return nil
	case "Sequence":
		for _, q := range p.Processors {
			if err := t.template(q); err != nil {
				return err
			}
		}
		return nil
	case "TemplateProcessing":
		return t.templateItems(p)
	}
	return fmt.Errorf("post_processor: type %q is not supported "+
		"(TemplateProcessing, ByteLevel, Sequence)", p.Type)
}

func (t *Tokenizer) templateItems(p *part) error {
	if t.before != nil || t.behind != nil {
		return fmt.Errorf("post_processor: two templates are not supported")
	}
	ids := &t.before
	for _, item := range p.Single {
		if item.Sequence != nil {
			ids = &t.behind
		}
		if item.SpecialToken == nil {
			continue
		}
		name := item.SpecialToken.ID
		special, ok := p.SpecialTokens[name]
		if !ok {
			return fmt.Errorf("post_processor: unknown special token %q", name)
		}
		for _, id := range special.IDs {
			if !t.Has(id) {
				return fmt.Errorf("post_processor: special token %q has id %d, which is no token",
					name, id)
			}
		}
		*ids = append(*ids, special.IDs...)
	}
	return nil
}

// Size is one more than the highest id.
func (t *Tokenizer) Size() int { return len(t.tokens) }

// Has tells whether there is a token with that id.
func (t *Tokenizer) Has(id int32) bool { return id >= 0 && int(id) < len(t.known) && t.known[id] }

// ID finds the token that is spelled so in the file, for example "<|im_end|>".
func (t *Tokenizer) ID(token string) (int32, bool) {
	id, ok := t.byText[token]
	return id, ok
}

// Encode turns text into ids. What spells an added token becomes that token. With
// template the ids that the model expects around every text are put there. Text that
// is no UTF-8 is an error.
func (t *Tokenizer) Encode(text string, template bool) ([]int32, error) {
	if at := invalidUTF8(text); at >= 0 {
		return nil, fmt.Errorf("tokenizer: byte %d of the text (0x%02x) is not valid UTF-8", at, text[at])
	}
	if len(text) > math.MaxInt32 {
		return nil, fmt.Errorf("tokenizer: a text of %d bytes is too long", len(text))
	}
	var ids []int32
	if template {
		ids = append(ids, t.before...)
	}
	first := true // no text was before this piece
	for _, p := range t.raw.pieces(text) {
		if p.token >= 0 {
			ids = append(ids, p.token)
		} else {
			ids = t.encodePlain(ids, p.text, first)
		}
		first = false
	}
	if template {
		ids = append(ids, t.behind...)
	}
	return ids, nil
}

// encodePlain appends the ids of a text that has none of the raw added tokens.
func (t *Tokenizer) encodePlain(ids []int32, text string, first bool) []int32 {
	for _, p := range t.after.pieces(t.normalize.apply(text)) {
		if p.token >= 0 {
			ids = append(ids, p.token)
		} else {
			t.split.words(p.text, first, func(word string) { ids = t.bpe.encode(ids, word) })
		}
		first = false
	}
	return ids
}

// invalidUTF8 is where text stops being UTF-8, or -1.
func invalidUTF8(text string) int {
	if utf8.ValidString(text) {
		return -1
	}
	for i, r := range text {
		if r == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD") {
			return i
		}
	}
	return -1
}
