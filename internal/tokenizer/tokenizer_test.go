package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// forms are small tokenizers in the forms that checkpoints come in; see testdata/README.md.
var forms = []string{"tiny", "qwen", "llama3", "neox", "mixtral", "metafirst", "metaalways", "metanever"}

func openForm(t testing.TB, name string) *Tokenizer {
	t.Helper()
	path := filepath.Join("testdata", name+".json")
	if name == "tiny" {
		path = "../../moe/tiny/tokenizer.json"
	}
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := Parse(source)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return tokens
}

func encode(t testing.TB, tokens *Tokenizer, text string) []int32 {
	t.Helper()
	ids, err := tokens.Encode(text, false)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// TestRecordedTexts encodes what the trained model was evaluated on.
func TestRecordedTexts(t *testing.T) {
	root := os.Getenv("UFM_TESTDATA")
	if root == "" && os.Getenv("CI") == "true" {
		t.Fatal("UFM_TESTDATA is not set")
	}
	if root == "" {
		t.Skip("UFM_TESTDATA is not set")
	}
	source, err := os.ReadFile(filepath.Join(root, "models/tiny-qwen3-moe/reference/text.json"))
	if err != nil {
		t.Fatal(err)
	}
	var recorded struct {
		EvalIDs [][]int32 `json:"eval_ids"`
		Greedy  []struct {
			OutputIDs []int32 `json:"output_ids"`
			Output    string
		}
	}
	if err := json.Unmarshal(source, &recorded); err != nil {
		t.Fatal(err)
	}
	tokens := openForm(t, "tiny")
	for i, want := range recorded.EvalIDs {
		if d := cmp.Diff(want, encode(t, tokens, tokens.Decode(want, true))); d != "" {
			t.Errorf("text %d (-want +got):\n%s", i, d)
		}
	}
	for _, g := range recorded.Greedy {
		if got := tokens.Decode(g.OutputIDs, true); got != g.Output {
			t.Errorf("got text %q, want %q", got, g.Output)
		}
	}
}

// texts are what a property is tried on: characters of all kinds, and what makes
// tokenizers stumble.
func texts() *rapid.Generator[string] {
	part := rapid.OneOf(
		rapid.SampledFrom([]string{" ", "  ", "\n", "\r\n", "\t", "'s", "'LL", "1", " the", "<s>",
			"</s>", "<|endoftext|>", "<|im_end|>", "<mask>", "<right>", "é", "e\u0301", "▁", "\u00a0"}),
		rapid.Map(rapid.Rune(), func(r rune) string { return string(r) }),
		rapid.StringMatching(`[a-z ]{1,9}`),
	)
	return rapid.Map(rapid.SliceOf(part), func(parts []string) string {
		return strings.ToValidUTF8(strings.Join(parts, ""), "?")
	})
}

// TestTextComesBack holds for forms that lose nothing: no normalizing, no stripping.
func TestTextComesBack(t *testing.T) {
	for _, name := range []string{"tiny", "llama3"} {
		tokens := openForm(t, name)
		rapid.Check(t, func(t *rapid.T) {
			text := texts().Draw(t, "text")
			ids, err := tokens.Encode(text, false)
			if err != nil {
				t.Fatal(err)
			}
			if got := tokens.Decode(ids, true); got != text {
				t.Errorf("%s: got %q back, want %q", name, got, text)
			}
		})
	}
}

// TestStreamIsDecode also proves that no piece ends within a character.
func TestStreamIsDecode(t *testing.T) {
	for _, name := range forms {
		tokens := openForm(t, name)
		rapid.Check(t, func(t *rapid.T) {
			ids := rapid.SliceOf(rapid.Int32Range(-1, int32(tokens.Size()))).Draw(t, "ids")
			s, special := tokens.NewStream(false, true), true
			got := ""
			for _, id := range ids {
				piece := s.Write(id)
				if !utf8.ValidString(piece) {
					t.Fatalf("%s: piece %q ends within a character", name, piece)
				}
				got += piece
			}
			got += s.Close()
			if want := tokens.Decode(ids, special); got != want {
				t.Errorf("%s: got %q in pieces, want %q", name, got, want)
			}
		})
	}
}

func TestStreamHoldsCharactersBack(t *testing.T) {
	tokens := openForm(t, "tiny")
	s := tokens.NewStream(false, false)
	var got []string
	for _, id := range encode(t, tokens, "a😀b") {
		got = append(got, s.Write(id))
	}
	got = append(got, s.Close())
	if want := []string{"a", "", "", "", "😀", "b", ""}; !slices.Equal(got, want) {
		t.Errorf("got pieces %q, want %q", got, want)
	}
}

func TestStreamMayContinue(t *testing.T) {
	tokens := openForm(t, "mixtral")
	ids := encode(t, tokens, "the fox")
	begins, goesOn := tokens.NewStream(false, false), tokens.NewStream(true, false)
	var first, second string
	for _, id := range ids {
		first += begins.Write(id)
		second += goesOn.Write(id)
	}
	if first != "the fox" || second != " the fox" {
		t.Errorf("got %q at the beginning and %q as continuation, want %q and %q",
			first, second, "the fox", " the fox")
	}
}

func TestTemplate(t *testing.T) {
	for name, want := range map[string][]int32{"mixtral": {1}, "llama3": {514}, "qwen": nil, "neox": {0}} {
		tokens := openForm(t, name)
		got, err := tokens.Encode("", true)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %v, %v for no text, want %v", name, got, err, want)
		}
	}
}

func TestInvalidUTF8IsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"abc\xff": "byte 3", "\xc3": "byte 0", "\uFFFDx\xe2\x82": "byte 4", "\xed\xa0\x80": "byte 0",
	} {
		_, err := openForm(t, "tiny").Encode(text, false)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", text, err, want)
		}
	}
}

func TestLongTextTakesNoQuadraticTime(t *testing.T) {
	text := strings.Repeat("a", 1<<20)
	for _, name := range []string{"tiny", "mixtral"} {
		if ids := encode(t, openForm(t, name), text); len(ids) == 0 {
			t.Errorf("%s: no ids", name)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	text := strings.Repeat("The quick brown fox jumps over the lazy dog; it's 12 o'clock.\n", 1000)
	for _, name := range forms {
		b.Run("form="+name, func(b *testing.B) {
			tokens := openForm(b, name)
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := tokens.Encode(text, false); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
