package trace

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Hints tell what a file may leave open. What is zero is not known.
type Hints struct {
	Layers, Experts, TopK int

	// Prefill is the number of first tokens that were one step, where the file has no
	// steps of its own (npy).
	Prefill int
}

// Open reads a trace in any form that this package knows, without hints.
func Open(path string) (*Trace, error) { return OpenWith(path, Hints{}) }

// OpenWith reads a trace in any form that this package knows: a safetensors file, a
// BigMoeOnEdge CSV, Megatron's JSON Lines or vLLM's npy. The file's first bytes decide,
// and its extension where they do not. Where the file tells what the hints do, both
// must agree.
func OpenWith(path string, h Hints) (t *Trace, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	text := bufio.NewReaderSize(f, 1<<16)
	form, err := formOf(text, path)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	switch form {
	case formSafetensors:
		t, err = Read(f, info.Size(), path)
	case formCSV:
		t, err = ImportBigMoeOnEdge(text, path)
	case formMegatron:
		if err := needExperts(path, h); err != nil {
			return nil, err
		}
		t, err = ImportMegatron(text, path, h.Experts)
	case formNPY:
		if err := needExperts(path, h); err != nil {
			return nil, err
		}
		t, err = ImportNPY(f, info.Size(), path, h.Experts, h.Prefill)
		h.Prefill = 0 // is heeded
	case formEvents:
		return nil, fmt.Errorf("trace: %s: an event log, not a trace: ufm sim --check %s", path, path)
	default:
		return nil, fmt.Errorf("trace: %s: no form of a trace that is known (safetensors, "+
			"BigMoeOnEdge CSV, Megatron JSON Lines, npy)", path)
	}
	if err != nil {
		return nil, err
	}
	if err := h.check(t); err != nil {
		return nil, fmt.Errorf("trace: %s: %w", path, err)
	}
	return t, nil
}

// form is a file format.
type form int

const (
	formUnknown form = iota
	formSafetensors
	formCSV
	formMegatron
	formNPY
	formEvents
)

// extensions decide where the first bytes do not.
var extensions = map[string]form{
	".safetensors": formSafetensors, ".csv": formCSV, ".jsonl": formMegatron, ".npy": formNPY,
}

// formOf looks at the beginning of a file without consuming it.
func formOf(r *bufio.Reader, path string) (form, error) {
	head, err := r.Peek(16)
	if err != nil && err != io.EOF {
		return formUnknown, err
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(head, byteOrderMark), " \t\r\n")
	switch {
	case bytes.HasPrefix(head, []byte(npyMagic)):
		return formNPY, nil
	case len(head) >= 8 && bytes.Equal(head[4:8], make([]byte, 4)):
		return formSafetensors, nil // its header's length, of 64 bits, is never that large
	case bytes.HasPrefix(text, []byte(`{"version"`)):
		return formEvents, nil
	case bytes.HasPrefix(text, []byte("{")):
		return formMegatron, nil
	case bytes.HasPrefix(text, []byte("#")):
		return formCSV, nil
	}
	return extensions[strings.ToLower(filepath.Ext(path))], nil
}

func needExperts(path string, h Hints) error {
	if h.Experts > 0 {
		return nil
	}
	return fmt.Errorf("trace: %s: the file does not tell how many experts a layer has: "+
		"ufm trace convert %s OUT.safetensors --experts N", path, path)
}

// check compares what the file told with the hints.
func (h Hints) check(t *Trace) error {
	for _, c := range []struct {
		name       string
		told, want int
	}{
		{"layers", t.Layers, h.Layers}, {"experts", t.Experts, h.Experts}, {"top-k", t.TopK, h.TopK},
	} {
		if c.want != 0 && c.told != c.want {
			return fmt.Errorf("%s are %d in the file, not %d", c.name, c.told, c.want)
		}
	}
	if h.Prefill != 0 {
		return errors.New("the file has steps of its own, a prefill cannot be told")
	}
	return nil
}
