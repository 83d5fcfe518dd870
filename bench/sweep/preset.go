package sweep

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"ufm/pager"
)

//go:embed presets/*.toml
var builtIn embed.FS

// preset is what a preset file holds: cells as products of lists.
type preset struct {
	About string `toml:"about"`
	Cell  Cell   `toml:"cell"`  // what a sweep does not vary
	Sweep []axes `toml:"sweep"` // at least one
}

// axes are the values that each field of a Cell takes, by the field's name. The first
// field varies slowest, the mode fastest; an empty list leaves the preset's value.
type axes struct {
	Layers    []int      `toml:"layers"`
	Experts   []int      `toml:"experts"`
	DModel    []int      `toml:"d_model"`
	DHidden   []int      `toml:"d_hidden"`
	TopK      []int      `toml:"top_k"`
	Form      []string   `toml:"form"`
	DType     []string   `toml:"dtype"`
	Seed      []uint64   `toml:"seed"`
	VRAMLimit []string   `toml:"vram_limit"`
	Routing   []string   `toml:"routing"`
	Tokens    []int      `toml:"tokens"`
	Budget    []string   `toml:"budget"`
	Policy    []string   `toml:"policy"` // "all": each that needs no knowledge of the future
	Steps     []int      `toml:"steps"`
	Seconds   []float64  `toml:"seconds"`
	Verify    []bool     `toml:"verify"`
	Limit     []duration `toml:"limit"`
	Mode      []string   `toml:"mode"`
}

// PresetNames are the presets that are built in.
func PresetNames() []string {
	files, _ := fs.Glob(builtIn, "presets/*.toml") // the pattern is fine
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = strings.TrimSuffix(filepath.Base(f), ".toml")
	}
	return names
}

// openPreset reads a preset by name, or from a file if the name looks like one.
func openPreset(name string) (cells []Cell, err error) {
	var text []byte
	if slices.Contains(PresetNames(), name) {
		text, err = builtIn.ReadFile("presets/" + name + ".toml")
	} else if strings.ContainsAny(name, "./\\") {
		text, err = os.ReadFile(name)
		name = strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
	} else {
		err = fmt.Errorf("unknown preset %q, want a file or one of %s",
			name, strings.Join(PresetNames(), " "))
	}
	if err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	return parsePreset(name, text)
}

// parsePreset refuses what it does not know: a misspelt key would be a silent default.
func parsePreset(name string, text []byte) ([]Cell, error) {
	p := preset{Cell: defaultCell()}
	d := toml.NewDecoder(bytes.NewReader(text))
	if err := d.DisallowUnknownFields().Decode(&p); err != nil {
		return nil, fmt.Errorf("sweep: preset %s: %w", name, inWords(err))
	}
	if len(p.Sweep) == 0 {
		return nil, fmt.Errorf("sweep: preset %s: has no [[sweep]], so no cells", name)
	}
	var cells []Cell
	for _, a := range p.Sweep {
		cells = append(cells, a.product(p.Cell)...)
	}
	for i := range cells {
		cells[i].Preset = name
	}
	return byBank(cells), nil
}

// inWords adds the line and the keys that the decoder's errors know of.
func inWords(err error) error {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) {
		var errs []error
		for _, e := range unknown.Errors {
			line, _ := e.Position()
			errs = append(errs, fmt.Errorf("line %d: unknown key %s", line, strings.Join(e.Key(), ".")))
		}
		return errors.Join(errs...)
	}
	var at *toml.DecodeError
	if errors.As(err, &at) {
		line, _ := at.Position()
		return fmt.Errorf("line %d: %w", line, err)
	}
	return err
}

// product is a cell for each combination of the axes' values.
func (a axes) product(base Cell) []Cell {
	if i := slices.Index(a.Policy, "all"); i >= 0 {
		a.Policy = slices.Replace(slices.Clone(a.Policy), i, i+1, pager.PolicyNames()...)
	}
	cells := []Cell{base}
	lists := reflect.ValueOf(a)
	for i := range lists.NumField() {
		list, name := lists.Field(i), lists.Type().Field(i).Name
		if list.Len() == 0 {
			continue
		}
		var longer []Cell
		for _, c := range cells {
			for j := range list.Len() {
				reflect.ValueOf(&c).Elem().FieldByName(name).Set(list.Index(j))
				longer = append(longer, c)
			}
		}
		cells = longer
	}
	return cells
}

// byBank brings cells of one bank together, in the order of their first ones.
func byBank(cells []Cell) []Cell {
	first := map[Cell]int{}
	for i, c := range cells {
		if _, ok := first[c.bankKey()]; !ok {
			first[c.bankKey()] = i
		}
	}
	slices.SortStableFunc(cells, func(a, b Cell) int { return first[a.bankKey()] - first[b.bankKey()] })
	return cells
}

// About says what a built-in preset is for; "" for any other.
func About(name string) string {
	var p preset
	text, err := builtIn.ReadFile("presets/" + name + ".toml")
	if err != nil || toml.Unmarshal(text, &p) != nil {
		return ""
	}
	return strings.ReplaceAll(p.About, "\n", " ")
}
