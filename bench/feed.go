package bench

import (
	"ufm/moe"
	"ufm/pager"
)

// feed makes the input of each step, the same for every mode.
type feed struct {
	spec  *Spec
	shape moe.Shape
	phase pager.Phase
	batch moe.Batch // reused
	input []float32 // (tokens, d_model) of layer 0, where routing is generated
}

func newFeed(s *Spec) *feed {
	f := &feed{spec: s, shape: s.Model.Shape(), phase: pager.Prefill}
	if s.Tokens == 1 {
		f.phase = pager.Decode
	}
	f.batch = moe.Batch{Tokens: s.Tokens, Phase: f.phase}
	if s.Activations != nil {
		f.batch.PerLayer = true
		f.batch.Input = make([]float32, f.shape.Layers*s.Tokens*f.shape.DModel)
	}
	if s.Routing != nil {
		f.batch.Routing = make([]uint32, f.shape.Layers*s.Tokens*f.shape.TopK)
	}
	return f
}

// routing names what chooses the experts.
func (f *feed) routing() string {
	if f.spec.Routing == nil {
		return "router"
	}
	return f.spec.Routing.String()
}

// next returns the batch of a step, valid until the next call.
func (f *feed) next(step int) (*moe.Batch, error) {
	f.batch.Step, f.batch.Capture = step, nil
	switch s := f.spec; {
	case s.Activations != nil:
		f.cycle(step)
	case s.Routing != nil:
		f.batch.Input = nil // it stays on the device
		if step == 0 {
			f.batch.Input = f.once()
		}
		return &f.batch, s.Routing.Fill(step, s.Tokens, f.batch.Routing)
	default:
		f.batch.Input = moe.SyntheticInput(s.Tokens, f.shape.DModel, s.Seed+uint64(step))
	}
	return &f.batch, nil
}

// once is the input of all steps where routing is generated: the experts do not depend
// on it.
func (f *feed) once() []float32 {
	if f.input == nil {
		f.input = moe.SyntheticInput(f.spec.Tokens, f.shape.DModel, f.spec.Seed)
	}
	return f.input
}

// cycle feeds each layer its recorded rows.
func (f *feed) cycle(step int) {
	a, d := f.spec.Activations, f.shape.DModel
	for l := range f.shape.Layers {
		for t := range f.spec.Tokens {
			from := recordedRow(a, step, f.spec.Tokens, t) * d
			to := (l*f.spec.Tokens + t) * d
			copy(f.batch.Input[to:to+d], a.Input[l][from:from+d])
		}
	}
}

// recordedRow is the row of the recording that token t of a step takes.
func recordedRow(a *moe.Activations, step, tokens, t int) int {
	return (step*tokens + t) % a.Tokens
}
