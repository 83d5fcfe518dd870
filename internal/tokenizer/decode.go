package tokenizer

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// decoder is how tokens become text.
type decoder struct {
	byteLevel bool   // tokens are spelled in byte runes
	mark      string // stands for a space, or ""
	fallback  bool   // tokens as <0x0A> are bytes
	strip     int    // spaces to take away at the start of a text
	dropFirst bool   // marks of the first token are no spaces
}

func newDecoder(p *part) (d decoder, err error) {
	if p == nil {
		return d, fmt.Errorf("decoder: absent")
	}
	parts := []*part{p}
	if p.Type == "Sequence" {
		parts = p.Decoders
	}
	for _, q := range parts {
		if err := d.add(q); err != nil {
			return d, err
		}
	}
	return d, nil
}

func (d *decoder) add(p *part) error {
	switch {
	case p.Type == "ByteLevel":
		d.byteLevel = true
	case p.Type == "Replace" && p.Pattern.String != nil && p.Content == " ":
		d.mark = *p.Pattern.String
	case p.Type == "ByteFallback":
		d.fallback = true
	case p.Type == "Fuse": // text is always put together
	case p.Type == "Strip" && p.Content == " " && p.Stop == 0 && p.Start >= 0:
		d.strip = p.Start
	case p.Type == "Metaspace":
		d.mark = p.Replacement
		d.dropFirst = p.PrependScheme != "never" && flag(p.AddPrefixSpace, true)
	default:
		return fmt.Errorf("decoder: type %q with these settings is not supported "+
			"(ByteLevel, Metaspace, Replace with a space, ByteFallback, Fuse, Strip of spaces)", p.Type)
	}
	if d.byteLevel && (d.mark != "" || d.fallback) {
		return fmt.Errorf("decoder: ByteLevel together with others is not supported")
	}
	return nil
}

// Stream turns ids into text as they come. It holds back what is not a whole character
// yet. All that it returns put together is what Decode gives for the same ids.
type Stream struct {
	t       *Tokenizer
	special bool   // print special tokens too
	begun   bool   // a token has come
	strip   int    // spaces still to take away
	held    []byte // not text yet: the start of a character, or a run of byte tokens
}

// NewStream starts a text. With continues it goes on with an earlier one, so that a
// space at its start counts. With special it prints special tokens as they are spelled.
func (t *Tokenizer) NewStream(continues, special bool) *Stream {
	s := &Stream{t: t, special: special, begun: continues, strip: t.decode.strip}
	if continues {
		s.strip = 0
	}
	return s
}

// Decode is the text of ids. Bytes that are no UTF-8 become U+FFFD, ids that are no
// tokens nothing.
func (t *Tokenizer) Decode(ids []int32, special bool) string {
	s := t.NewStream(false, special)
	var b strings.Builder
	for _, id := range ids {
		b.WriteString(s.Write(id))
	}
	b.WriteString(s.Close())
	return b.String()
}

// Write takes the next token and returns the text that is complete with it.
func (s *Stream) Write(id int32) string {
	if !s.t.Has(id) || s.t.special[id] && !s.special {
		return ""
	}
	first := !s.begun
	s.begun = true
	token, d := s.t.tokens[id], &s.t.decode
	if d.byteLevel {
		s.held = fromByteRunes(s.held, token)
		return s.whole(false)
	}
	if d.fallback {
		if b, ok := byteToken(token); ok {
			s.held = append(s.held, b)
			return ""
		}
	}
	if d.mark != "" && d.dropFirst && first {
		token = strings.ReplaceAll(token, d.mark, "")
	} else if d.mark != "" {
		token = strings.ReplaceAll(token, d.mark, " ")
	}
	return s.stripped(s.run() + token)
}

// Close returns what was held back.
func (s *Stream) Close() string {
	if s.t.decode.byteLevel {
		return s.whole(true)
	}
	return s.stripped(s.run())
}

// whole takes whole characters off the bytes held back. What can no longer become one
// is U+FFFD, once for the longest start of a character that it was.
func (s *Stream) whole(end bool) string {
	var b strings.Builder
	for len(s.held) > 0 {
		if !end && !utf8.FullRune(s.held) {
			break
		}
		r, size := utf8.DecodeRune(s.held)
		if r == utf8.RuneError && size <= 1 {
			size = brokenLength(s.held)
		}
		b.WriteRune(r)
		s.held = s.held[size:]
	}
	return b.String()
}

// brokenLength is the length of the longest start of a character at the start of p,
// which has no whole one there; at least 1.
func brokenLength(p []byte) int {
	n := 1
	for n < len(p) && n < utf8.UTFMax && !utf8.FullRune(p[:n]) {
		n++
	}
	if n > 1 && utf8.FullRune(p[:n]) {
		n-- // the last byte made it impossible
	}
	return n
}

// run is the text of a run of byte tokens: if it is no UTF-8, U+FFFD for every byte.
func (s *Stream) run() string {
	text := string(s.held)
	if !utf8.ValidString(text) {
		text = strings.Repeat("\uFFFD", len(s.held))
	}
	s.held = s.held[:0]
	return text
}

// stripped takes spaces away at the start of the whole text.
func (s *Stream) stripped(text string) string {
	for s.strip > 0 && text != "" {
		if text[0] != ' ' {
			s.strip = 0
			break
		}
		text = text[1:]
		s.strip--
	}
	return text
}

// byteToken reads tokens as <0x0A>.
func byteToken(token string) (byte, bool) {
	if len(token) != 6 || !strings.HasPrefix(token, "<0x") || token[5] != '>' {
		return 0, false
	}
	v, err := strconv.ParseUint(token[3:5], 16, 8)
	return byte(v), err == nil
}
