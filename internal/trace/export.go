package trace

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// exporters are the forms that a trace can be written in.
var exporters = map[string]func(*Trace, io.Writer) error{
	"safetensors":   (*Trace).Write,
	"csv":           (*Trace).writeCSV,
	"oracleGeneral": (*Trace).writeOracleGeneral,
}

// exportExtensions tell a form by the end of a file's name.
var exportExtensions = map[string]string{
	".safetensors": "safetensors", ".csv": "csv",
	".oraclegeneral": "oracleGeneral", ".oraclegeneral.bin": "oracleGeneral",
}

// ExportForms are the names of the forms that Export knows.
func ExportForms() []string { return slices.Sorted(maps.Keys(exporters)) }

// ExportForm is the form that the end of a path asks for.
func ExportForm(path string) (string, error) {
	base := strings.ToLower(filepath.Base(path))
	for end, form := range exportExtensions {
		if strings.HasSuffix(base, end) {
			return form, nil
		}
	}
	ends := slices.Sorted(maps.Keys(exportExtensions))
	return "", fmt.Errorf("trace: %s: its end names no form (%s)", path, strings.Join(ends, ", "))
}

// Export writes the trace in that form: "safetensors", which keeps all of it, "csv",
// which is BigMoeOnEdge's and can be read again, or "oracleGeneral", libCacheSim's.
func (t *Trace) Export(w io.Writer, form string) error {
	export := exporters[form]
	if export == nil {
		return fmt.Errorf("trace: unknown form %q (%s)", form, strings.Join(ExportForms(), ", "))
	}
	b := bufio.NewWriterSize(w, 1<<16)
	if err := export(t, b); err != nil {
		return err
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("trace: write %s: %w", form, err)
	}
	return nil
}

// Left are the parts of the trace that the form has no place for.
func (t *Trace) Left(form string) []string {
	if form == "safetensors" {
		return nil
	}
	var left []string
	for _, part := range []struct {
		name string
		is   bool
	}{
		{"weights", t.Weights != nil && form != "csv"},
		{"predicted", t.Predicted != nil},
		{"input_ids", t.InputIDs != nil},
	} {
		if part.is {
			left = append(left, part.name)
		}
	}
	return left
}
