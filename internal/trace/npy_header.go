package trace

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	npyMagic     = "\x93NUMPY"
	npyMaxHeader = 1 << 16 // numpy's own writer stays below, whatever the version
)

// npyHeader is what stands before an array: a Python dictionary in text.
//
//	"\x93NUMPY" major minor length {'descr': '<i2', 'fortran_order': False, 'shape': (3, 2, 2), }
type npyHeader struct {
	dtype   string
	fortran bool
	shape   []int64
	data    int64 // where the array begins in the file
}

// width is the size of a value in bytes: 0 for a dtype that is not an id's.
func (h npyHeader) width() int64 {
	switch h.dtype {
	case "<i2", "<u2":
		return 2
	case "|u1":
		return 1
	}
	return 0
}

func readNPYHeader(r io.ReaderAt, size int64) (npyHeader, error) {
	head := make([]byte, min(size, 12))
	if n, err := r.ReadAt(head, 0); n < len(head) {
		return npyHeader{}, fmt.Errorf("byte %d: %w", n, err)
	}
	if !bytes.HasPrefix(head, []byte(npyMagic)) || len(head) < 10 {
		return npyHeader{}, errors.New("byte 0: no npy file: it does not begin with \\x93NUMPY")
	}
	begin, length := int64(10), int64(binary.LittleEndian.Uint16(head[8:]))
	if major := head[6]; major == 2 || major == 3 {
		if len(head) < 12 {
			return npyHeader{}, errors.New("byte 10: the file ends in its header's length")
		}
		begin, length = 12, int64(binary.LittleEndian.Uint32(head[8:]))
	} else if major != 1 {
		return npyHeader{}, fmt.Errorf("byte 6: npy version %d, want 1 to 3", major)
	}
	if length > npyMaxHeader || length > size-begin {
		return npyHeader{}, fmt.Errorf("byte 8: a header of %d bytes, %d follow: "+
			"the file is truncated, or no npy file", length, size-begin)
	}
	text := make([]byte, length)
	if n, err := r.ReadAt(text, begin); n < len(text) {
		return npyHeader{}, fmt.Errorf("byte %d: %w", begin+int64(n), err)
	}
	p := npyParser{text: string(text)}
	h, err := p.header()
	if err != nil {
		return h, fmt.Errorf("byte %d: header: %w", begin+int64(p.at), err)
	}
	h.data = begin + length
	return h, nil
}

// npyParser reads the few Python literals that a header has.
type npyParser struct {
	text string
	at   int
}

func (p *npyParser) header() (h npyHeader, err error) {
	if err := p.expect("{"); err != nil {
		return h, err
	}
	seen := map[string]bool{}
	for !p.accept("}") {
		key, err := p.str()
		if err != nil {
			return h, err
		}
		if seen[key] {
			return h, fmt.Errorf("%q stands there twice", key)
		}
		seen[key] = true
		if err := p.field(&h, key); err != nil {
			return h, err
		}
		if !p.accept(",") {
			if err := p.expect("}"); err != nil {
				return h, err
			}
			break
		}
	}
	for _, key := range []string{"descr", "fortran_order", "shape"} {
		if !seen[key] {
			return h, fmt.Errorf("no %q", key)
		}
	}
	if p.space(); p.at < len(p.text) {
		return h, errors.New("text follows the dictionary")
	}
	return h, nil
}

func (p *npyParser) field(h *npyHeader, key string) (err error) {
	if err := p.expect(":"); err != nil {
		return err
	}
	switch key {
	case "descr":
		h.dtype, err = p.str()
	case "fortran_order":
		if h.fortran = p.accept("True"); !h.fortran {
			err = p.expect("False")
		}
	case "shape":
		h.shape, err = p.tuple()
	default:
		err = fmt.Errorf("unknown key %q", key)
	}
	return err
}

// tuple reads whole numbers between parentheses: "()", "(3,)", "(3, 2)".
func (p *npyParser) tuple() ([]int64, error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	shape := []int64{}
	for !p.accept(")") {
		p.space()
		digits := p.text[p.at:]
		if end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
			digits = digits[:end]
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is no dimension", digits)
		}
		p.at += len(digits)
		shape = append(shape, n)
		if !p.accept(",") {
			return shape, p.expect(")")
		}
	}
	return shape, nil
}

// str reads a string between quotes of either kind, without escapes.
func (p *npyParser) str() (string, error) {
	p.space()
	rest := p.text[p.at:]
	if rest == "" || rest[0] != '\'' && rest[0] != '"' {
		return "", errors.New("a string is wanted")
	}
	text, _, closed := strings.Cut(rest[1:], rest[:1])
	if !closed || strings.Contains(text, `\`) {
		return "", errors.New("the string does not end, or has a backslash")
	}
	p.at += len(text) + 2
	return text, nil
}

// accept skips the token if it is next.
func (p *npyParser) accept(token string) bool {
	p.space()
	if !strings.HasPrefix(p.text[p.at:], token) {
		return false
	}
	p.at += len(token)
	return true
}

func (p *npyParser) expect(token string) error {
	if !p.accept(token) {
		return fmt.Errorf("%q is wanted", token)
	}
	return nil
}

func (p *npyParser) space() {
	for p.at < len(p.text) && strings.IndexByte(" \t\n", p.text[p.at]) >= 0 {
		p.at++
	}
}
