package trace

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// maxBank is the most experts of all layers: hundreds of times the largest model's, and
// few enough that arrays over them are no danger.
const maxBank = 1 << 24

// validate reports the first thing that makes t no trace.
func (t *Trace) validate() error {
	if err := t.validateModel(); err != nil {
		return err
	}
	if err := t.validateShape(); err != nil {
		return err
	}
	if err := t.validateSteps(); err != nil {
		return err
	}
	if err := t.validateRows("experts", t.Chosen); err != nil {
		return err
	}
	return t.validateRows("predicted", t.Predicted)
}

// validateModel refuses a name that a safetensors header cannot carry unchanged.
func (t *Trace) validateModel() error {
	if !utf8.ValidString(t.Model) {
		return fmt.Errorf("model %q is not UTF-8 text", t.Model)
	}
	return nil
}

func (t *Trace) validateShape() error {
	if t.Layers < 1 || t.Experts < 1 || t.TopK < 1 {
		return fmt.Errorf("%d layers, %d experts, top-k %d: want at least 1 of each",
			t.Layers, t.Experts, t.TopK)
	}
	if t.Experts > math.MaxInt16 || t.Layers > math.MaxInt16 {
		return fmt.Errorf("%d layers of %d experts: want at most %d of each",
			t.Layers, t.Experts, math.MaxInt16)
	}
	if n := t.Layers * t.Experts; n > maxBank {
		return fmt.Errorf("%d layers of %d experts are %d, want at most %d",
			t.Layers, t.Experts, n, maxBank)
	}
	if t.TopK > t.Experts {
		return fmt.Errorf("top-k %d of %d experts", t.TopK, t.Experts)
	}
	n, row := len(t.Chosen), t.Layers*t.TopK
	switch {
	case n == 0:
		return errors.New("no tokens")
	case n%row != 0:
		return fmt.Errorf("tensor experts: %d values are no multiple of %d layers × top-k %d",
			n, t.Layers, t.TopK)
	case t.Weights != nil && len(t.Weights) != n:
		return fmt.Errorf("tensor weights: %d values, experts has %d", len(t.Weights), n)
	case t.Predicted != nil && len(t.Predicted) != n:
		return fmt.Errorf("tensor predicted: %d values, experts has %d", len(t.Predicted), n)
	case t.InputIDs != nil && len(t.InputIDs) != n/row:
		return fmt.Errorf("tensor input_ids: %d values for %d tokens", len(t.InputIDs), n/row)
	}
	return nil
}

func (t *Trace) validateSteps() error {
	if len(t.Phases) != len(t.StepSizes) {
		return fmt.Errorf("tensor step_phase: %d values for %d steps",
			len(t.Phases), len(t.StepSizes))
	}
	tokens, sum := int64(t.Tokens()), int64(0)
	for step, size := range t.StepSizes {
		if size < 1 {
			return fmt.Errorf("tensor step_tokens: step %d has %d tokens, want at least 1",
				step, size)
		}
		if p := t.Phases[step]; p > Decode {
			return fmt.Errorf("tensor step_phase: step %d has phase %d, want 0 or 1", step, p)
		}
		sum += int64(size)
	}
	if sum != tokens {
		return fmt.Errorf("tensor step_tokens: steps add up to %d tokens, the trace has %d",
			sum, tokens)
	}
	return nil
}

// rowError is a row of a (tokens, layers, top_k) tensor that is wrong.
type rowError struct {
	tensor       string
	index        int // of the value, in the tensor
	token, layer int
	err          error
}

func (e *rowError) Error() string {
	return fmt.Sprintf("tensor %s: token %d, layer %d: %v", e.tensor, e.token, e.layer, e.err)
}

func (e *rowError) Unwrap() error { return e.err }

// validateRows checks the ids of a (tokens, layers, top_k) tensor.
func (t *Trace) validateRows(tensor string, ids []int16) error {
	seenIn := make([]int, t.Experts) // 1 + the last row that had the id
	for row := range len(ids) / t.TopK {
		chosen := ids[row*t.TopK : (row+1)*t.TopK]
		for i, e := range chosen {
			if e == -1 && chosen[0] == -1 {
				continue
			}
			if err := t.validateID(e, chosen, seenIn, row); err != nil {
				return &rowError{
					tensor: tensor, index: row*t.TopK + i,
					token: row / t.Layers, layer: row % t.Layers, err: err,
				}
			}
		}
	}
	return nil
}

func (t *Trace) validateID(e int16, chosen []int16, seenIn []int, row int) error {
	switch {
	case e == -1 || chosen[0] == -1:
		return fmt.Errorf("-1 must stand through the whole row, not in %v", chosen)
	case e < 0 || int(e) >= t.Experts:
		return fmt.Errorf("expert %d, want 0 to %d", e, t.Experts-1)
	case seenIn[e] == row+1:
		return fmt.Errorf("expert %d is chosen twice in %v", e, chosen)
	}
	seenIn[e] = row + 1
	return nil
}
