// Package trace reads and writes routing traces: which experts each token of a run
// was sent to, layer by layer.
//
//	t, err := trace.Open("trace.safetensors") // or what others record, see OpenWith
//	for g := range t.Groups() { // g.Experts: distinct, ascending, dense ids
//		...
//	}
//
// A trace is a safetensors file with the tensors
//
//	experts      I16 (tokens, layers, top_k)   ids within a layer, in top-k order;
//	                                           -1 through a whole row: not routed there
//	weights      F16 (tokens, layers, top_k)   optional
//	predicted    I16 (tokens, layers, top_k)   optional: the gate's choice one layer earlier
//	input_ids    I32 (tokens)                  optional
//	step_tokens  I32 (steps)                   optional: absent means one token a step
//	step_phase   U8  (steps)                   optional: 0 prefill, 1 decode; absent means
//	                                           that steps of one token are decode
//
// and the metadata strings layers, experts and top_k, optionally model. Whatever does
// not fit is an error that names the file and the line or byte; nothing is repaired.
// Files are read in pieces and written tensor by tensor: a Trace and one of these are
// all that is held.
package trace

import "iter"

// Trace is the routing of a run. Its slices are indexed as the file's tensors.
type Trace struct {
	Model   string // or ""
	Layers  int
	Experts int // per layer
	TopK    int

	Chosen    []int16  // (tokens, layers, top_k)
	Weights   []uint16 // (tokens, layers, top_k) half-precision floats, or nil
	Predicted []int16  // (tokens, layers, top_k), or nil
	InputIDs  []int32  // (tokens), or nil
	StepSizes []int32  // (steps): tokens of each step
	Phases    []Phase  // (steps)
}

// Phase tells prefill (many tokens a step) from decode (one).
type Phase uint8

// The phases, numbered as in files.
const (
	Prefill Phase = iota
	Decode
)

// Group is what one step needs in one layer.
type Group struct {
	Step    int
	Layer   int
	Phase   Phase
	Experts []uint32 // layer × experts + id: distinct, ascending; valid until the next group
}

// Tokens is the number of tokens of all steps.
func (t *Trace) Tokens() int { return len(t.Chosen) / max(t.Layers*t.TopK, 1) }

// Row is what a token was sent to in a layer, in top-k order: all -1 if it was not
// routed there.
func (t *Trace) Row(token, layer int) []int16 {
	i := (token*t.Layers + layer) * t.TopK
	return t.Chosen[i : i+t.TopK]
}

// Groups walks the steps, and in each step the layers that any token was routed in.
func (t *Trace) Groups() iter.Seq[Group] {
	return func(yield func(Group) bool) {
		used := make([]bool, t.Experts)
		ids := make([]uint32, 0, t.Experts)
		token := 0
		for step, size := range t.StepSizes {
			for layer := range t.Layers {
				ids = t.collect(ids[:0], used, token, token+int(size), layer)
				g := Group{Step: step, Layer: layer, Phase: t.Phases[step], Experts: ids}
				if len(ids) > 0 && !yield(g) {
					return
				}
			}
			token += int(size)
		}
	}
}

// collect appends the distinct experts that tokens begin to end use in layer. used is
// scratch, all false before and after.
func (t *Trace) collect(ids []uint32, used []bool, begin, end, layer int) []uint32 {
	for token := begin; token < end; token++ {
		for _, e := range t.Row(token, layer) {
			if e >= 0 {
				used[e] = true
			}
		}
	}
	for e, is := range used {
		if is {
			ids = append(ids, uint32(layer*t.Experts+e))
			used[e] = false
		}
	}
	return ids
}
