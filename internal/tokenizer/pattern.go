package tokenizer

import (
	"fmt"
	"regexp"
	"strings"
)

// spaceTail ends the patterns of this family: a run of spaces that does not take the
// last one before a word. It is the one lookahead among them, which Go's expressions
// lack: they match the run in a group, and nextMatch gives the last space back.
const (
	spaceTail   = `|\s+(?!\S)|\s+`
	spaceTailGo = `|(\s+)`
)

// unicodeSpace is \s in Unicode, within a class; Go's own knows ASCII alone.
const unicodeSpace = `\t-\r \x{85}\p{Z}`

// compile makes a Go expression of a tokenizer's pattern.
func compile(source string) (*regexp.Regexp, error) {
	goSource := source
	if head, ok := strings.CutSuffix(source, spaceTail); ok {
		goSource = head + spaceTailGo
	}
	re, err := regexp.Compile(unicodeSpaces(goSource))
	groups := 0
	if goSource != source {
		groups = 1
	}
	if err == nil && re.NumSubexp() != groups {
		err = fmt.Errorf("it has groups")
	}
	if err != nil {
		return nil, fmt.Errorf("pre_tokenizer: pattern %q is not supported: %w", source, err)
	}
	return re, nil
}

// unicodeSpaces spells \s and \S out.
func unicodeSpaces(source string) string {
	var b strings.Builder
	inClass := false
	for i := 0; i < len(source); i++ {
		c := source[i]
		if c == '\\' && i+1 < len(source) {
			i++
			b.WriteString(escape(source[i], inClass))
			continue
		}
		if c == '[' {
			inClass = true
		} else if c == ']' {
			inClass = false
		}
		b.WriteByte(c)
	}
	return b.String()
}

func escape(c byte, inClass bool) string {
	switch {
	case c == 's' && inClass:
		return unicodeSpace
	case c == 's':
		return "[" + unicodeSpace + "]"
	case c == 'S' && !inClass:
		return "[^" + unicodeSpace + "]"
	}
	return `\` + string(c)
}
