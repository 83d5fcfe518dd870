package trace

import (
	"fmt"
	"io"
	"slices"

	"github.com/x448/float16"
)

// ImportBigMoeOnEdge reads a route_trace CSV of the project BigMoeOnEdge: comments
// that tell the shape, a line of column names, then a line for each expert that a
// token was sent to. Errors call it name and tell the line.
//
// Its prefill goes layer by layer through all tokens of a batch, its decode token by
// token through all layers. A batch becomes one step. A prefill's last layer may route
// only some of the batch's tokens, as that is all the next layer needs.
func ImportBigMoeOnEdge(r io.Reader, name string) (*Trace, error) {
	im := importer{t: &Trace{}, columns: map[string]int{}}
	err := eachLine(r, name, func(line []byte) error { return im.line(string(line)) }, im.finish)
	if err != nil {
		return nil, err
	}
	return im.t, nil
}

// importer is the state between two lines.
type importer struct {
	t       *Trace
	columns map[string]int // index by name; empty before the line of names

	last   record
	tokens []int // steps of the current batch's tokens, ascending
	token  int   // index in tokens of the last row
}

func (im *importer) line(line string) error {
	switch {
	case line == "":
		return nil
	case line[0] == '#':
		return im.comment(line[1:])
	case len(im.columns) == 0:
		return im.header(line)
	}
	r, err := im.parse(line)
	if err != nil {
		return err
	}
	return im.add(r)
}

// add puts the record into its row, which it starts or continues.
func (im *importer) add(r record) error {
	l := im.last
	if r.slot == 0 {
		if err := im.startRow(r); err != nil {
			return err
		}
	} else if r.turn != l.turn || r.phase != l.phase || r.step != l.step ||
		r.layer != l.layer || r.slot != l.slot+1 || len(im.tokens) == 0 {
		return fmt.Errorf("slot %d of step %d, layer %d does not follow slot %d",
			r.slot, r.step, r.layer, r.slot-1)
	}
	im.last = r
	t := im.t
	token := t.Tokens() - len(im.tokens) + im.token
	row := (token*t.Layers + r.layer) * t.TopK
	if slices.Contains(t.Chosen[row:row+r.slot], int16(r.expert)) {
		return fmt.Errorf("expert %d is chosen twice in step %d, layer %d",
			r.expert, r.step, r.layer)
	}
	t.Chosen[row+r.slot] = int16(r.expert)
	if t.Weights != nil {
		t.Weights[row+r.slot] = float16.Fromfloat32(float32(r.weight)).Bits()
	}
	return nil
}

// startRow finds the token of a record with slot 0, or makes it.
func (im *importer) startRow(r record) error {
	if err := im.endRow(); err != nil {
		return err
	}
	l, first := im.last, len(im.tokens) == 0
	if first || r.turn != l.turn || r.phase != l.phase || r.layer < l.layer ||
		r.phase == int(Decode) && r.step != l.step {
		if err := im.endBatch(); err != nil {
			return err
		}
		return im.startBatch(r)
	}
	if r.layer != l.layer && r.layer != l.layer+1 {
		return fmt.Errorf("layer %d of step %d follows layer %d", r.layer, r.step, l.layer)
	}
	if r.layer == l.layer && r.step <= l.step {
		return fmt.Errorf("step %d, layer %d follows step %d", r.step, r.layer, l.step)
	}
	if r.layer == 0 {
		im.addToken(r.step)
		return nil
	}
	for im.token = range im.tokens {
		if im.tokens[im.token] == r.step {
			return nil
		}
	}
	return fmt.Errorf("step %d is routed in layer %d, but not in layer 0", r.step, r.layer)
}

func (im *importer) startBatch(r record) error {
	if r.layer != 0 {
		return fmt.Errorf("step %d begins with layer %d, want 0", r.step, r.layer)
	}
	if err := im.checkOrder(r); err != nil {
		return err
	}
	im.tokens = im.tokens[:0]
	im.t.StepSizes = append(im.t.StepSizes, 0)
	im.t.Phases = append(im.t.Phases, Phase(r.phase))
	im.addToken(r.step)
	return nil
}

// checkOrder checks that a batch may follow the last one: turns and, in a turn, steps
// ascend, and a turn's prefill comes before its decode.
func (im *importer) checkOrder(r record) error {
	l, tokens := im.last, len(im.tokens)
	switch {
	case tokens == 0 || r.turn > l.turn:
		return nil
	case r.turn < l.turn:
		return fmt.Errorf("turn %d follows turn %d", r.turn, l.turn)
	case r.phase < l.phase:
		return fmt.Errorf("step %d is prefill, after decode in the same turn %d", r.step, r.turn)
	case r.step <= im.tokens[tokens-1]:
		return fmt.Errorf("step %d follows step %d", r.step, im.tokens[tokens-1])
	}
	return nil
}

func (im *importer) addToken(step int) {
	t := im.t
	im.token = len(im.tokens)
	im.tokens = append(im.tokens, step)
	t.StepSizes[len(t.StepSizes)-1]++
	for range t.Layers * t.TopK {
		t.Chosen = append(t.Chosen, -1)
	}
	if _, ok := im.columns[weightColumn]; ok {
		t.Weights = append(t.Weights, make([]uint16, t.Layers*t.TopK)...)
	}
}

// endRow checks that the last row is complete.
func (im *importer) endRow() error {
	if len(im.tokens) > 0 && im.last.slot != im.t.TopK-1 {
		return fmt.Errorf("step %d, layer %d ends after %d of %d experts",
			im.last.step, im.last.layer, im.last.slot+1, im.t.TopK)
	}
	return nil
}

// endBatch checks that the last batch went through all layers.
func (im *importer) endBatch() error {
	if len(im.tokens) > 0 && im.last.layer != im.t.Layers-1 {
		return fmt.Errorf("step %d ends after %d of %d layers",
			im.last.step, im.last.layer+1, im.t.Layers)
	}
	return nil
}

func (im *importer) finish() error {
	if err := im.endRow(); err != nil {
		return err
	}
	if err := im.endBatch(); err != nil {
		return err
	}
	return im.t.validate()
}
