package tokenizer

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// splitter cuts text into words, within which tokens are merged.
type splitter struct {
	steps []func(words []word) []word
	bytes bool // words are spelled in byte runes at the end
}

// word is a part of a text.
type word struct {
	text  string
	first bool // nothing was before it
}

// words calls yield for each word of text.
func (s splitter) words(text string, first bool, yield func(string)) {
	all := []word{{text, first}}
	for _, step := range s.steps {
		all = step(all)
	}
	for _, w := range all {
		yield(w.text)
	}
}

// gpt2Pattern is what ByteLevel splits by where it is told to.
const gpt2Pattern = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

func newSplitter(p *part) (s splitter, err error) {
	if p == nil {
		return s, nil
	}
	return s, s.add(p)
}

func (s *splitter) add(p *part) error {
	switch p.Type {
	case "Sequence":
		for _, q := range p.PreTokenizers {
			if err := s.add(q); err != nil {
				return err
			}
		}
		return nil
	case "ByteLevel":
		return s.addByteLevel(p)
	case "Split":
		return s.addSplit(p)
	case "Metaspace":
		return s.addMetaspace(p)
	}
	return fmt.Errorf("pre_tokenizer: type %q is not supported "+
		"(ByteLevel, Split, Metaspace, Sequence)", p.Type)
}

func (s *splitter) addByteLevel(p *part) error {
	if flag(p.AddPrefixSpace, true) {
		s.change(func(w word) string {
			if strings.HasPrefix(w.text, " ") {
				return w.text
			}
			return " " + w.text
		})
	}
	if flag(p.UseRegex, true) {
		if err := s.addPattern(gpt2Pattern); err != nil {
			return err
		}
	}
	s.change(func(w word) string { return toByteRunes(w.text) })
	s.bytes = true
	return nil
}

func (s *splitter) addSplit(p *part) error {
	switch {
	case p.Pattern.Regex == nil:
		return fmt.Errorf("pre_tokenizer: Split by a plain text is not supported")
	case p.Behavior != "Isolated" || p.Invert:
		return fmt.Errorf("pre_tokenizer: Split with behavior %q, invert %t is not supported "+
			"(Isolated, false)", p.Behavior, p.Invert)
	}
	return s.addPattern(*p.Pattern.Regex)
}

func (s *splitter) addMetaspace(p *part) error {
	mark, scheme := p.Replacement, p.PrependScheme
	if scheme == "" {
		scheme = "always"
	}
	if !flag(p.AddPrefixSpace, true) {
		scheme = "never"
	}
	if utf8.RuneCountInString(mark) != 1 {
		return fmt.Errorf("pre_tokenizer: Metaspace with replacement %q is not supported", mark)
	}
	if scheme != "always" && scheme != "first" && scheme != "never" {
		return fmt.Errorf("pre_tokenizer: Metaspace with prepend_scheme %q is not supported "+
			"(always, first, never)", scheme)
	}
	s.change(func(w word) string {
		text := strings.ReplaceAll(w.text, " ", mark)
		if strings.HasPrefix(text, mark) || scheme == "never" || scheme == "first" && !w.first {
			return text
		}
		return mark + text
	})
	if flag(p.Split, true) {
		s.steps = append(s.steps, func(words []word) (cut []word) {
			for _, w := range words {
				cut = appendBefore(cut, w, mark)
			}
			return cut
		})
	}
	return nil
}

// appendBefore cuts w before each mark.
func appendBefore(words []word, w word, mark string) []word {
	for rest, first := w.text, w.first; rest != ""; first = false {
		end := len(rest)
		if i := strings.Index(rest[1:], mark); i >= 0 {
			end = i + 1
		}
		words = append(words, word{rest[:end], first})
		rest = rest[end:]
	}
	return words
}

// change adds a step that replaces each word's text.
func (s *splitter) change(f func(word) string) {
	s.steps = append(s.steps, func(words []word) []word {
		for i, w := range words {
			words[i].text = f(w)
		}
		return words
	})
}

// addPattern adds a step that cuts words into the matches of a pattern and what is
// between them.
func (s *splitter) addPattern(source string) error {
	re, err := compile(source)
	if err != nil {
		return err
	}
	s.steps = append(s.steps, func(words []word) (cut []word) {
		for _, w := range words {
			for rest := w.text; rest != ""; {
				begin, end := nextMatch(re, rest)
				if begin > 0 {
					cut = append(cut, word{rest[:begin], w.first && len(rest) == len(w.text)})
				}
				if begin < end {
					first := w.first && begin == 0 && len(rest) == len(w.text)
					cut = append(cut, word{rest[begin:end], first})
				}
				rest = rest[end:]
			}
		}
		return cut
	})
	return nil
}

// nextMatch is where the pattern's first match in text is; both are its end if none is.
func nextMatch(re *regexp.Regexp, text string) (begin, end int) {
	m := re.FindStringSubmatchIndex(text)
	if m == nil || m[0] == m[1] {
		return len(text), len(text)
	}
	begin, end = m[0], m[1]
	if len(m) == 4 && m[2] >= 0 && end < len(text) {
		if _, last := utf8.DecodeLastRuneInString(text[begin:end]); end-last > begin {
			end -= last // the space before a word goes with the word
		}
	}
	return begin, end
}
