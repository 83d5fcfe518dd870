package tokenizer

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// matcher finds added tokens in a text: the leftmost, and of those the longest.
type matcher struct {
	byFirst map[byte][]addedToken // by the first byte, longest first
}

// piece is an added token, or the text between two.
type piece struct {
	token int32 // or -1
	text  string
}

// newMatchers separates tokens that are looked for in the text as it comes from those
// that are looked for once it is normalized, which are normalized themselves.
func newMatchers(tokens []addedToken, n normalizer) (raw, after matcher) {
	raw.byFirst, after.byFirst = map[byte][]addedToken{}, map[byte][]addedToken{}
	for _, a := range tokens {
		m := raw
		if a.Normalized {
			m, a.Content = after, n.apply(a.Content)
		}
		if a.Content != "" {
			m.byFirst[a.Content[0]] = append(m.byFirst[a.Content[0]], a)
		}
	}
	for _, m := range []matcher{raw, after} {
		for _, same := range m.byFirst {
			slices.SortStableFunc(same, func(a, b addedToken) int {
				return cmp.Compare(len(b.Content), len(a.Content))
			})
		}
	}
	return raw, after
}

// pieces cuts text at its added tokens.
func (m matcher) pieces(text string) []piece {
	var pieces []piece
	done := 0 // all before it is in pieces
	for at := 0; at < len(text); {
		a := m.at(text, at)
		if a == nil {
			at++
			continue
		}
		begin, end := at, at+len(a.Content)
		at = end
		if a.SingleWord && (endsWord(text[:begin]) || startsWord(text[end:])) {
			continue
		}
		if a.LStrip {
			begin = max(done, len(strings.TrimRightFunc(text[:begin], unicode.IsSpace)))
		}
		if a.RStrip {
			end = len(text) - len(strings.TrimLeftFunc(text[end:], unicode.IsSpace))
		}
		if done < begin {
			pieces = append(pieces, piece{-1, text[done:begin]})
		}
		pieces = append(pieces, piece{token: a.ID})
		done = end
	}
	if done < len(text) {
		pieces = append(pieces, piece{-1, text[done:]})
	}
	return pieces
}

// at is the longest token at that place of text, or nil.
func (m matcher) at(text string, at int) *addedToken {
	same := m.byFirst[text[at]]
	for i := range same {
		if strings.HasPrefix(text[at:], same[i].Content) {
			return &same[i]
		}
	}
	return nil
}

func startsWord(text string) bool {
	r, size := utf8.DecodeRuneInString(text)
	return size > 0 && isWord(r)
}

func endsWord(text string) bool {
	r, size := utf8.DecodeLastRuneInString(text)
	return size > 0 && isWord(r)
}

// isWord is what regular expressions call \w, in Unicode.
func isWord(r rune) bool {
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc,
		unicode.Other_Alphabetic, unicode.Join_Control)
}
