package tokenizer

import (
	"compress/gzip"
	"encoding/json"
	"os"
	"slices"
	"testing"
)

// reference is what Hugging Face's tokenizers, version 0.23, gives for the forms.
type reference struct {
	Texts []string
	Forms map[string]struct {
		Encode []struct {
			IDs     []int32
			Special []int32 // with the template's; null: the same
			Text    *string // decoded again; null: the text
			Skipped *string // without special tokens; null: the same
		}
		Decode []struct {
			IDs     []int32
			Text    string
			Skipped *string
		}
	}
}

func openReference(t *testing.T) (r reference) {
	t.Helper()
	f, err := os.Open("testdata/reference.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err == nil {
		err = json.NewDecoder(unzipped).Decode(&r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestReferenceIDs compares difficult texts id for id: all Unicode planes, long runs of
// spaces, control characters, special tokens, random mixtures.
func TestReferenceIDs(t *testing.T) {
	r := openReference(t)
	for _, name := range forms {
		tokens, checked := openForm(t, name), 0
		for i, want := range r.Forms[name].Encode {
			text := r.Texts[i]
			got := encode(t, tokens, text)
			if !slices.Equal(got, want.IDs) {
				t.Errorf("%s: %q:\ngot  %v\nwant %v", name, text, got, want.IDs)
				continue
			}
			if want.Special == nil {
				want.Special = want.IDs
			}
			if got, err := tokens.Encode(text, true); err != nil || !slices.Equal(got, want.Special) {
				t.Errorf("%s: %q with template: got %v, %v, want %v", name, text, got, err, want.Special)
			}
			back := or(want.Text, text)
			compareText(t, tokens, name, want.IDs, back, or(want.Skipped, back))
			checked++
		}
		if checked < 500 {
			t.Errorf("%s: %d texts were compared, want 500 and more", name, checked)
		}
	}
}

// TestReferenceTexts decodes ids at random, which give broken characters.
func TestReferenceTexts(t *testing.T) {
	r := openReference(t)
	for _, name := range forms {
		tokens := openForm(t, name)
		for _, want := range r.Forms[name].Decode {
			compareText(t, tokens, name, want.IDs, want.Text, or(want.Skipped, want.Text))
		}
	}
}

func compareText(t *testing.T, tokens *Tokenizer, name string, ids []int32, text, skipped string) {
	t.Helper()
	if got := tokens.Decode(ids, true); got != text {
		t.Errorf("%s: %v: got %q, want %q", name, ids, got, text)
	}
	if got := tokens.Decode(ids, false); got != skipped {
		t.Errorf("%s: %v without special tokens: got %q, want %q", name, ids, got, skipped)
	}
}

func or(text *string, same string) string {
	if text == nil {
		return same
	}
	return *text
}
