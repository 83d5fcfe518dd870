package trace

import (
	"errors"
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"
)

// record is one line.
type record struct {
	turn, phase, step, layer, slot, expert int
	weight                                 float64
}

const weightColumn = "weight"

// comment takes the shape from "model=… arch=… n_layer=… n_expert=… n_expert_used=…".
func (im *importer) comment(text string) error {
	text = strings.TrimSpace(text)
	if !strings.Contains(text, "n_layer=") {
		return nil
	}
	if im.t.Layers > 0 {
		return errors.New("the shape is told twice")
	}
	if model, ok := strings.CutPrefix(text, "model="); ok {
		model, _, _ = strings.Cut(model, " arch=")
		model, _, _ = strings.Cut(model, " n_layer=") // where there is no arch
		im.t.Model = path.Base(model)
		if err := im.t.validateModel(); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		key string
		dst *int
	}{
		{"n_layer", &im.t.Layers}, {"n_expert", &im.t.Experts}, {"n_expert_used", &im.t.TopK},
	} {
		_, value, _ := strings.Cut(" "+text, " "+f.key+"=")
		value, _, _ = strings.Cut(value, " ")
		v, err := strconv.Atoi(value)
		if err != nil || v < 1 || v > math.MaxInt16 {
			return fmt.Errorf("%s is %q, want 1 to %d", f.key, value, math.MaxInt16)
		}
		*f.dst = v
	}
	if im.t.TopK > im.t.Experts {
		return fmt.Errorf("n_expert_used %d is above n_expert %d", im.t.TopK, im.t.Experts)
	}
	if n := im.t.Layers * im.t.TopK; n > 1<<16 {
		return fmt.Errorf("%d experts a token are more than %d", n, 1<<16)
	}
	return nil
}

func (im *importer) header(line string) error {
	if im.t.Layers == 0 {
		return errors.New("no comment with n_layer, n_expert and n_expert_used before the data")
	}
	for i, name := range strings.Split(line, ",") {
		if _, again := im.columns[name]; again {
			return fmt.Errorf("column %q is named twice", name)
		}
		im.columns[name] = i
	}
	for _, name := range []string{"turn", "phase", "step", "layer", "slot", "expert"} {
		if _, ok := im.columns[name]; !ok {
			return fmt.Errorf("no column %q in %q", name, line)
		}
	}
	return nil
}

func (im *importer) parse(line string) (record, error) {
	var r record
	fields := strings.Split(line, ",")
	if len(fields) != len(im.columns) {
		return r, fmt.Errorf("%d fields, want %d", len(fields), len(im.columns))
	}
	for _, c := range []struct {
		name string
		end  int // exclusive
		dst  *int
	}{
		{"turn", math.MaxInt32, &r.turn}, {"phase", 2, &r.phase},
		{"step", math.MaxInt32, &r.step}, {"layer", im.t.Layers, &r.layer},
		{"slot", im.t.TopK, &r.slot}, {"expert", im.t.Experts, &r.expert},
	} {
		text := fields[im.columns[c.name]]
		v, err := strconv.Atoi(text)
		if err != nil || v < 0 || v >= c.end {
			return r, fmt.Errorf("%s is %q, want 0 to %d", c.name, text, c.end-1)
		}
		*c.dst = v
	}
	if i, ok := im.columns[weightColumn]; ok {
		v, err := strconv.ParseFloat(fields[i], 32)
		if err != nil || !(math.Abs(v) <= 65504) { // the largest half
			return r, fmt.Errorf("weight is %q, want a number of half precision", fields[i])
		}
		r.weight = v
	}
	return r, nil
}
