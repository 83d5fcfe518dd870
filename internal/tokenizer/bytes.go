package tokenizer

import "strings"

// Byte-level vocabularies spell each byte as a character that can be seen: printable
// Latin-1 stands for itself, the other bytes for the characters from U+0100 on.
var byteRunes, runeBytes = makeByteRunes()

func makeByteRunes() (runes [256]rune, bytes map[rune]byte) {
	bytes = make(map[rune]byte, 256)
	next := rune(0x100)
	for b := range runes {
		switch {
		case b >= '!' && b <= '~', b >= 0xA1 && b <= 0xAC, b >= 0xAE:
			runes[b] = rune(b)
		default:
			runes[b] = next
			next++
		}
		bytes[runes[b]] = byte(b)
	}
	return runes, bytes
}

// toByteRunes spells the bytes of text.
func toByteRunes(text string) string {
	var b strings.Builder
	b.Grow(len(text) + len(text)/2)
	for i := range len(text) {
		b.WriteRune(byteRunes[text[i]])
	}
	return b.String()
}

// fromByteRunes appends the bytes that token spells; a token that spells none, as an
// added one may, stands for itself.
func fromByteRunes(dst []byte, token string) []byte {
	before := len(dst)
	for _, r := range token {
		b, ok := runeBytes[r]
		if !ok {
			return append(dst[:before], token...)
		}
		dst = append(dst, b)
	}
	return dst
}
