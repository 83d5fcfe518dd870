package trace

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/x448/float16"
)

// writeCSV writes the form that ImportBigMoeOnEdge reads: the same steps, rows and weights
// come back, and of the model's name what follows its last slash.
//
// That form has turns instead of steps: prefill, then decode token by token. A step of
// prefill begins a turn. A trace that cannot be told so is an error, and nothing is
// written.
func (t *Trace) writeCSV(w io.Writer) error {
	err := t.validate()
	if err == nil {
		err = t.checkCSV()
	}
	if err != nil {
		return fmt.Errorf("trace: write csv: %w", err)
	}
	c := csvWriter{t: t, turn: -1}
	c.line = append(c.line, "# route_trace v1\n#"...)
	if t.Model != "" {
		c.line = append(c.line, " model="+t.Model+" arch=unknown"...)
	}
	c.line = fmt.Appendf(c.line, " n_layer=%d n_expert=%d n_expert_used=%d\n",
		t.Layers, t.Experts, t.TopK)
	c.line = append(c.line, "turn,phase,step,layer,slot,expert"...)
	if t.Weights != nil {
		c.line = append(c.line, ","+weightColumn...)
	}
	c.line = append(c.line, '\n')
	if _, err := w.Write(c.line); err != nil {
		return fmt.Errorf("trace: write csv: %w", err)
	}
	first := 0
	for step, size := range t.StepSizes {
		if err := c.step(w, step, first, int(size)); err != nil {
			return fmt.Errorf("trace: write csv: %w", err)
		}
		first += int(size)
	}
	return nil
}

// checkCSV reports the first thing that the form has no place for.
func (t *Trace) checkCSV() error {
	const instead = "which the form has no place for: write .safetensors"
	if strings.ContainsFunc(t.Model, unicode.IsControl) || strings.Contains(t.Model, "=") {
		return fmt.Errorf("model %q has characters %s", t.Model, instead)
	}
	for i, bits := range t.Weights {
		if w := float16.Frombits(bits); w.IsNaN() || w.IsInf(0) {
			return fmt.Errorf("token %d has a weight of %v, %s", i/(t.Layers*t.TopK), w, instead)
		}
	}
	first := 0
	for step, size := range t.StepSizes {
		if t.Phases[step] == Decode && size > 1 {
			return fmt.Errorf("step %d is a decode of %d tokens, %s", step, size, instead)
		}
		for layer := range t.Layers {
			routed := 0
			for token := first; token < first+int(size); token++ {
				if t.Row(token, layer)[0] >= 0 {
					routed++
				} else if layer == 0 {
					return fmt.Errorf("token %d is not routed in layer 0, %s", token, instead)
				}
			}
			if routed == 0 {
				return fmt.Errorf("step %d routes no token in layer %d, %s", step, layer, instead)
			}
		}
		first += int(size)
	}
	return nil
}

// csvWriter is the state between two steps.
type csvWriter struct {
	t     *Trace
	turn  int
	token int    // the next one's number in its turn
	line  []byte // scratch
}

// step writes the rows of size tokens, layer by layer.
func (c *csvWriter) step(w io.Writer, step, first, size int) error {
	phase := c.t.Phases[step]
	if phase == Prefill || c.turn < 0 {
		c.turn, c.token = c.turn+1, 0
	}
	for layer := range c.t.Layers {
		c.line = c.line[:0]
		for i := range size {
			begin := fmt.Appendf(nil, "%d,%d,%d,%d,", c.turn, phase, c.token+i, layer)
			c.row(begin, first+i, layer)
		}
		if _, err := w.Write(c.line); err != nil {
			return err
		}
	}
	c.token += size
	return nil
}

// row appends a line for each expert of a token in a layer; none if it is not routed.
func (c *csvWriter) row(begin []byte, token, layer int) {
	for slot, e := range c.t.Row(token, layer) {
		if e < 0 {
			return
		}
		c.line = append(c.line, begin...)
		c.line = strconv.AppendInt(c.line, int64(slot), 10)
		c.line = append(c.line, ',')
		c.line = strconv.AppendInt(c.line, int64(e), 10)
		if c.t.Weights != nil {
			i := (token*c.t.Layers+layer)*c.t.TopK + slot
			weight := float64(float16.Frombits(c.t.Weights[i]).Float32())
			c.line = append(c.line, ',')
			c.line = strconv.AppendFloat(c.line, weight, 'g', -1, 32)
		}
		c.line = append(c.line, '\n')
	}
}
