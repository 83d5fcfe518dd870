package trace

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// ImportMegatron reads the JSON Lines that Megatron Core's router tracer writes
// (--moe-routing-trace-path): a record for each layer of each pass, with the experts
// of all tokens. A file has no count of experts, so the caller tells it; dense layers
// do not appear, and a pass's layers are numbered from 0 in the order of the first pass.
//
// A pass, which is a forward run of one batch through all layers, becomes a step. Steps
// of one token count as decode, others as prefill: the file does not tell them apart.
// Each pass must go through the layers of the first, with as many tokens in each.
func ImportMegatron(r io.Reader, name string, experts int) (*Trace, error) {
	im := megatron{t: &Trace{Experts: experts}}
	if err := eachLine(r, name, im.line, im.finish); err != nil {
		return nil, err
	}
	return im.t, nil
}

// megatron is the state between two lines.
type megatron struct {
	t      *Trace
	rank   int
	layers []megatronLayer // of a pass
	known  bool            // layers is complete: the first pass is over

	step int       // of the current pass
	pass [][]int16 // (layers seen, tokens × top_k): the current pass
	seen []int     // (experts): 1 + the last row of all that had the expert
	rows int       // read so far
}

// megatronLayer names a layer: those of multi-token prediction stand in blocks of
// their own.
type megatronLayer struct {
	block      string
	mtp, layer int
}

func (l megatronLayer) String() string {
	if l.mtp >= 0 {
		return fmt.Sprintf("%s %d layer %d", l.block, l.mtp, l.layer)
	}
	return fmt.Sprintf("%s layer %d", l.block, l.layer)
}

// megatronRecord is one line. There are more fields, of files beside the trace.
type megatronRecord struct {
	Step       *int    `json:"step"`
	Stage      string  `json:"stage"`
	Block      string  `json:"block"`
	MTPIndex   *int    `json:"mtp_idx"`
	Layer      *int    `json:"layer"`
	Rank       int     `json:"rank"`
	NumTokens  *int    `json:"num_tokens"`
	TopK       *int    `json:"topk"`
	TopIndices [][]int `json:"top_indices"`
}

func (im *megatron) line(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	var r megatronRecord
	if err := json.Unmarshal(text, &r); err != nil {
		return fmt.Errorf("json: %w", err)
	}
	if err := im.check(&r); err != nil {
		return err
	}
	layer := megatronLayer{block: r.Block, mtp: -1, layer: *r.Layer}
	if r.MTPIndex != nil {
		layer.mtp = *r.MTPIndex
	}
	if err := im.place(*r.Step, layer, len(r.TopIndices)); err != nil {
		return err
	}
	ids, err := im.ids(r.TopIndices)
	im.pass = append(im.pass, ids)
	return err
}

// check checks what can be known of a record by itself and from the first one.
func (im *megatron) check(r *megatronRecord) error {
	switch {
	case r.Step == nil:
		return errors.New(`no field "step"`)
	case r.Layer == nil:
		return errors.New(`no field "layer"`)
	case r.NumTokens == nil:
		return errors.New(`no field "num_tokens"`)
	case r.TopK == nil:
		return errors.New(`no field "topk"`)
	case r.Stage != "" && r.Stage != "pre_dispatch":
		return fmt.Errorf("stage is %q, want pre_dispatch", r.Stage)
	case len(r.TopIndices) != *r.NumTokens:
		return fmt.Errorf("top_indices has %d rows, num_tokens is %d",
			len(r.TopIndices), *r.NumTokens)
	case *r.NumTokens < 1:
		return errors.New("no tokens")
	}
	if im.seen == nil {
		return im.begin(r)
	}
	if r.Rank != im.rank {
		return fmt.Errorf("rank %d follows rank %d: each rank's file is a trace of its own",
			r.Rank, im.rank)
	}
	if *r.TopK != im.t.TopK {
		return fmt.Errorf("topk is %d, was %d", *r.TopK, im.t.TopK)
	}
	return nil
}

// begin takes from the first record what all others must have.
func (im *megatron) begin(r *megatronRecord) error {
	im.rank, im.step, im.t.TopK = r.Rank, *r.Step, *r.TopK
	if im.t.Experts < 1 || im.t.Experts > math.MaxInt16 {
		return fmt.Errorf("%d experts, want 1 to %d", im.t.Experts, math.MaxInt16)
	}
	if im.t.TopK < 1 || im.t.TopK > im.t.Experts {
		return fmt.Errorf("topk is %d, want 1 to %d", im.t.TopK, im.t.Experts)
	}
	im.seen = make([]int, im.t.Experts)
	return nil
}

// place finds the record's place: the next layer of the current pass, or the first
// one of another pass.
func (im *megatron) place(step int, layer megatronLayer, tokens int) error {
	if step < im.step {
		return fmt.Errorf("step %d follows step %d", step, im.step)
	}
	again := im.known && len(im.pass) == len(im.layers) ||
		!im.known && slices.Contains(im.layers, layer)
	if step != im.step || again {
		if err := im.endPass(); err != nil {
			return err
		}
	}
	im.step = step
	at := len(im.pass)
	if !im.known {
		im.layers = append(im.layers, layer)
	} else if layer != im.layers[at] {
		return fmt.Errorf("%v where the first pass has %v", layer, im.layers[at])
	}
	if want := len(im.pass); want > 0 && tokens != len(im.pass[0])/im.t.TopK {
		return fmt.Errorf("%d tokens in %v, %d in the layer before", tokens, layer,
			len(im.pass[0])/im.t.TopK)
	}
	return nil
}

// ids checks the rows and puts them behind each other.
func (im *megatron) ids(rows [][]int) ([]int16, error) {
	ids := make([]int16, 0, len(rows)*im.t.TopK)
	for token, row := range rows {
		if len(row) != im.t.TopK {
			return nil, fmt.Errorf("token %d has %d experts, topk is %d",
				token, len(row), im.t.TopK)
		}
		im.rows++
		for _, e := range row {
			if e < 0 || e >= im.t.Experts {
				return nil, fmt.Errorf("token %d: expert %d, want 0 to %d",
					token, e, im.t.Experts-1)
			}
			if im.seen[e] == im.rows {
				return nil, fmt.Errorf("token %d: expert %d is chosen twice", token, e)
			}
			im.seen[e] = im.rows
			ids = append(ids, int16(e))
		}
	}
	return ids, nil
}

// endPass appends the current pass to the trace, token by token.
func (im *megatron) endPass() error {
	if len(im.pass) != len(im.layers) {
		return fmt.Errorf("step %d ends after %d of %d layers",
			im.step, len(im.pass), len(im.layers))
	}
	t := im.t
	t.Layers, im.known = len(im.layers), true
	tokens := len(im.pass[0]) / t.TopK
	for token := range tokens {
		for _, ids := range im.pass {
			t.Chosen = append(t.Chosen, ids[token*t.TopK:(token+1)*t.TopK]...)
		}
	}
	phase := Prefill
	if tokens == 1 {
		phase = Decode
	}
	t.StepSizes = append(t.StepSizes, int32(tokens))
	t.Phases = append(t.Phases, phase)
	im.pass = im.pass[:0]
	return nil
}

func (im *megatron) finish() error {
	if im.seen == nil {
		return errors.New("no tokens")
	}
	if err := im.endPass(); err != nil {
		return err
	}
	return im.t.validate()
}
