package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// file is tokenizer.json, as far as it decides ids and text.
type file struct {
	AddedTokens   []addedToken `json:"added_tokens"`
	Normalizer    *part        `json:"normalizer"`
	PreTokenizer  *part        `json:"pre_tokenizer"`
	PostProcessor *part        `json:"post_processor"`
	Decoder       *part        `json:"decoder"`
	Model         model        `json:"model"`
}

// part is one of the file's steps. Which fields count depends on its type.
type part struct {
	Type string `json:"type"`

	Normalizers   []*part `json:"normalizers"`
	PreTokenizers []*part `json:"pretokenizers"`
	Processors    []*part `json:"processors"`
	Decoders      []*part `json:"decoders"`

	Pattern        pattern `json:"pattern"` // Split, Replace
	Behavior       string  `json:"behavior"`
	Invert         bool    `json:"invert"`
	Content        string  `json:"content"` // Replace, Strip
	Prepend        string  `json:"prepend"`
	AddPrefixSpace *bool   `json:"add_prefix_space"` // ByteLevel, Metaspace
	UseRegex       *bool   `json:"use_regex"`        // ByteLevel; absent: true
	Replacement    string  `json:"replacement"`      // Metaspace
	PrependScheme  string  `json:"prepend_scheme"`   // Metaspace; absent: always
	Split          *bool   `json:"split"`            // Metaspace; absent: true
	Start          int     `json:"start"`            // Strip
	Stop           int     `json:"stop"`

	Single        []templateItem             `json:"single"` // TemplateProcessing
	SpecialTokens map[string]templateSpecial `json:"special_tokens"`
}

// pattern is a text or a regular expression to look for.
type pattern struct {
	String *string
	Regex  *string
}

// templateItem is the text itself or a token that goes before or after it.
type templateItem struct {
	SpecialToken *struct{ ID string }
	Sequence     *struct{ ID string }
}

type templateSpecial struct {
	IDs []int32 `json:"ids"`
}

type addedToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // not within a word
	LStrip     bool   `json:"lstrip"`      // takes the spaces before it along
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"` // looked for in normalized text
	Special    bool   `json:"special"`    // not part of what people read
}

type model struct {
	Type         string            `json:"type"`
	Dropout      *float64          `json:"dropout"`
	Unknown      *string           `json:"unk_token"`
	Prefix       *string           `json:"continuing_subword_prefix"`
	Suffix       *string           `json:"end_of_word_suffix"`
	FuseUnknown  bool              `json:"fuse_unk"`
	ByteFallback bool              `json:"byte_fallback"`
	IgnoreMerges bool              `json:"ignore_merges"`
	Vocab        map[string]int32  `json:"vocab"`
	Merges       []json.RawMessage `json:"merges"` // "a b" or ["a", "b"]
}

// check refuses what this package does not do.
func (m *model) check() error {
	var errs []error
	if m.Type != "BPE" && m.Type != "" {
		errs = append(errs, fmt.Errorf("model: type %q is not supported (BPE)", m.Type))
	}
	if m.Dropout != nil && *m.Dropout != 0 {
		errs = append(errs, fmt.Errorf("model: dropout %g is not supported", *m.Dropout))
	}
	for name, text := range map[string]*string{
		"continuing_subword_prefix": m.Prefix, "end_of_word_suffix": m.Suffix,
	} {
		if text != nil && *text != "" {
			errs = append(errs, fmt.Errorf("model: %s %q is not supported", name, *text))
		}
	}
	if len(m.Vocab) == 0 {
		errs = append(errs, errors.New("model: vocab is empty"))
	}
	return errors.Join(errs...)
}

// mergePair reads one merge in either spelling.
func mergePair(raw json.RawMessage) (a, b string, err error) {
	var pair [2]string
	if json.Unmarshal(raw, &pair) == nil {
		return pair[0], pair[1], nil
	}
	var line string
	if err := json.Unmarshal(raw, &line); err != nil {
		return "", "", fmt.Errorf("neither a text nor two: %s", raw)
	}
	a, b, ok := strings.Cut(line, " ")
	if !ok || strings.Contains(b, " ") {
		return "", "", fmt.Errorf("%q does not have two parts", line)
	}
	return a, b, nil
}

// flag is the value of an optional field.
func flag(v *bool, absent bool) bool {
	if v == nil {
		return absent
	}
	return *v
}
