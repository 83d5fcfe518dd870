package tokenizer

import (
	"fmt"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// normalizer is what happens to a text before it is split, one change after another.
type normalizer []func(string) string

func (n normalizer) apply(text string) string {
	for _, change := range n {
		text = change(text)
	}
	return text
}

var unicodeForms = map[string]norm.Form{
	"NFC": norm.NFC, "NFD": norm.NFD, "NFKC": norm.NFKC, "NFKD": norm.NFKD,
}

func newNormalizer(p *part) (normalizer, error) {
	if p == nil {
		return nil, nil
	}
	if form, ok := unicodeForms[p.Type]; ok {
		return normalizer{form.String}, nil
	}
	switch p.Type {
	case "Sequence":
		return newNormalizers(p.Normalizers)
	case "Prepend":
		return normalizer{func(text string) string {
			if text == "" {
				return ""
			}
			return p.Prepend + text
		}}, nil
	case "Replace":
		if p.Pattern.String == nil {
			return nil, fmt.Errorf("normalizer: Replace of a regular expression is not supported")
		}
		return normalizer{func(text string) string {
			return strings.ReplaceAll(text, *p.Pattern.String, p.Content)
		}}, nil
	}
	return nil, fmt.Errorf("normalizer: type %q is not supported "+
		"(NFC, NFD, NFKC, NFKD, Prepend, Replace, Sequence)", p.Type)
}

func newNormalizers(parts []*part) (all normalizer, err error) {
	for _, p := range parts {
		n, err := newNormalizer(p)
		if err != nil {
			return nil, err
		}
		all = append(all, n...)
	}
	return all, nil
}
