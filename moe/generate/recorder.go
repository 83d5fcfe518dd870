package generate

import (
	"io"

	"github.com/x448/float16"

	"ufm/internal/trace"
	"ufm/moe"
)

// recorder gathers the routing of all tokens as a trace.
type recorder struct {
	shape     moe.Shape
	trace     trace.Trace
	experts   []uint32 // of a step: (layers, tokens, top_k)
	weights   []float32
	predicted []uint32
}

func newRecorder(m moe.Model) *recorder {
	s := m.Shape()
	return &recorder{shape: s, trace: trace.Trace{
		Model: m.Name(), Layers: s.Layers, Experts: s.Experts, TopK: s.TopK,
	}}
}

// prepare asks a step for its routing.
func (r *recorder) prepare(b *moe.TextBatch) {
	n := r.shape.Layers * len(b.IDs) * r.shape.TopK
	if len(r.experts) < n {
		r.experts, r.weights, r.predicted = make([]uint32, n), make([]float32, n), make([]uint32, n)
	}
	b.Experts, b.Weights, b.Predicted = r.experts[:n], r.weights[:n], r.predicted[:n]
}

// add takes over what a step chose.
func (r *recorder) add(b *moe.TextBatch) {
	k, tokens, t := r.shape.TopK, len(b.IDs), &r.trace
	for i := range tokens {
		for l := range r.shape.Layers {
			row := (l*tokens + i) * k
			for j := row; j < row+k; j++ {
				t.Chosen = append(t.Chosen, int16(b.Experts[j]))
				t.Weights = append(t.Weights, float16.Fromfloat32(b.Weights[j]).Bits())
				t.Predicted = append(t.Predicted, predictedID(b.Predicted[j]))
			}
		}
	}
	t.InputIDs = append(t.InputIDs, b.IDs...)
	t.StepSizes = append(t.StepSizes, int32(tokens))
	t.Phases = append(t.Phases, trace.Phase(b.Phase))
}

func predictedID(e uint32) int16 {
	if e == moe.NoPrediction {
		return -1
	}
	return int16(e)
}

// write writes the trace, if any token ran.
func (r *recorder) write(w io.Writer) error {
	if len(r.trace.Chosen) == 0 {
		return nil
	}
	return r.trace.Write(w)
}
