package tokenizer

import (
	"fmt"
	"strings"
	"testing"
)

// byteVocab is the smallest vocabulary of a byte-level tokenizer, without its braces.
func byteVocab() string {
	var entries []string
	for i, r := range byteRunes {
		entries = append(entries, fmt.Sprintf("%q:%d", string(r), i))
	}
	return strings.Join(entries, ",")
}

func TestBadFilesNameTheFault(t *testing.T) {
	const (
		pre     = `"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},`
		decoder = `"decoder":{"type":"ByteLevel"},`
	)
	vocab := `"vocab":{` + byteVocab() + `}`
	good := `"model":{"type":"BPE",` + vocab + `,"merges":["a b"]}}`
	good = strings.Replace(good, `"merges":["a b"]`, `"merges":[]`, 1)
	if _, err := Parse([]byte(`{` + pre + decoder + good)); err != nil {
		t.Fatalf("the good file: %v", err)
	}
	for _, test := range []struct{ name, file, want string }{
		{"no JSON", `{`, "unexpected end"},
		{"another model", `{` + decoder + `"model":{"type":"WordPiece","vocab":{"a":0}}}`, "WordPiece"},
		{"no vocabulary", `{` + decoder + `"model":{"type":"BPE"}}`, "vocab is empty"},
		{"prefix", `{` + decoder + `"model":{"continuing_subword_prefix":"##","vocab":{"a":0}}}`, "##"},
		{"dropout", `{` + decoder + `"model":{"dropout":0.5,"vocab":{"a":0}}}`, "dropout"},
		{"id below 0", `{` + decoder + `"model":{"vocab":{"a":-1}}}`, "id -1"},
		{"absurd id", `{` + decoder + `"model":{"vocab":{"a":1000000000}}}`, "id 1000000000"},
		{"one id twice", `{` + decoder + `"model":{"vocab":{"a":1,"b":1}}}`, `"a" and "b" have the same id 1`},
		{"merge of one", `{` + decoder + `"model":{"vocab":{"a":1},"merges":["a"]}}`, `"a" does not have two parts`},
		{"merge of numbers", `{` + decoder + `"model":{"vocab":{"a":1},"merges":[7]}}`, "merge 0"},
		{"merge of strangers", `{` + decoder + `"model":{"vocab":{"a":1,"ab":2},"merges":[["a","b"]]}}`, `"b" is not in the vocab`},
		{"merge into a stranger", `{` + decoder + `"model":{"vocab":{"a":1,"b":2},"merges":[["a","b"]]}}`, `"ab" is not in the vocab`},
		{"unknown unknown", `{` + decoder + `"model":{"vocab":{"a":1},"unk_token":"<unk>"}}`, "<unk>"},
		{"no bytes", `{` + decoder + `"model":{"vocab":{"a":1},"byte_fallback":true}}`, "<0x00>"},
		{"missing byte", `{` + pre + decoder + `"model":{"vocab":{"a":1}}}`, "no token"},
		{"no decoder", `{` + pre + good, "decoder"},
		{"another decoder", `{` + pre + `"decoder":{"type":"CTC"},` + good, "CTC"},
		{"another normalizer", `{` + pre + decoder + `"normalizer":{"type":"BertNormalizer"},` + good, "BertNormalizer"},
		{"replaced pattern", `{` + decoder + `"normalizer":{"type":"Replace","pattern":{"Regex":"a"},"content":""},` + good, "regular expression"},
		{"another splitter", `{` + decoder + `"pre_tokenizer":{"type":"Whitespace"},` + good, "Whitespace"},
		{"another behavior", `{` + decoder + `"pre_tokenizer":{"type":"Split","pattern":{"Regex":"a"},"behavior":"Removed"},` + good, "Removed"},
		{"another lookahead", `{` + decoder + `"pre_tokenizer":{"type":"Split","pattern":{"Regex":"a(?=b)"},"behavior":"Isolated"},` + good, "a(?=b)"},
		{"another post-processor", `{` + pre + decoder + `"post_processor":{"type":"BertProcessing"},` + good, "BertProcessing"},
		{"unknown special token", `{` + pre + decoder + `"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}}],"special_tokens":{}},` + good, `unknown special token "<s>"`},
		{"special token without a token", `{` + pre + decoder + `"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}}],"special_tokens":{"<s>":{"ids":[999]}}},` + good, "id 999"},
		{"added token in the way", `{` + pre + decoder + `"added_tokens":[{"id":65,"content":"<s>"}],` + good, `added token "<s>" has id 65`},
		{"empty added token", `{` + pre + decoder + `"added_tokens":[{"id":999,"content":""}],` + good, "added token 999 is empty"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse([]byte(test.file))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

// FuzzParse also encodes with what parses: nothing may panic.
func FuzzParse(f *testing.F) {
	for _, source := range []string{
		`{"decoder":{"type":"Metaspace","replacement":"_"},"pre_tokenizer":{"type":"Metaspace",` +
			`"replacement":"_","split":true},"added_tokens":[{"id":9,"content":"<s>","lstrip":true}],` +
			`"model":{"unk_token":"a","vocab":{"a":1,"b":2,"ab":3,"_":4},"merges":["a b"]}}`,
		`{"decoder":{"type":"Sequence","decoders":[{"type":"ByteFallback"},{"type":"Strip","content":" ",` +
			`"start":1}]},"normalizer":{"type":"Prepend","prepend":"_"},"pre_tokenizer":{"type":"Split",` +
			`"pattern":{"Regex":"[^\\s]+|\\s+(?!\\S)|\\s+"},"behavior":"Isolated"},"model":{"vocab":{"a":1}}}`,
	} {
		f.Add([]byte(source), "a <s> b\n")
	}
	f.Add([]byte(`{"decoder":{"type":"ByteLevel"},"model":{"vocab":{"a":1}}}`), "ab")
	f.Fuzz(func(t *testing.T, source []byte, text string) {
		tokens, err := Parse(source)
		if err != nil {
			return
		}
		ids, err := tokens.Encode(text, true)
		if err != nil {
			return
		}
		for _, id := range ids {
			if !tokens.Has(id) {
				t.Errorf("id %d is no token", id)
			}
		}
		tokens.Decode(ids, true)
	})
}
