package moe

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
)

// configFields are the fields of config.json that matter here, under all their
// spellings. Pointers tell absent (or null) from zero.
type configFields struct {
	Architectures []string `json:"architectures"`
	ModelType     string   `json:"model_type"`

	Layers       *int `json:"num_hidden_layers"`
	Experts      *int `json:"num_experts"`
	LocalExperts *int `json:"num_local_experts"`
	TopK         *int `json:"num_experts_per_tok"`
	DModel       *int `json:"hidden_size"`
	Hidden       *int `json:"intermediate_size"`
	MoeHidden    *int `json:"moe_intermediate_size"`
	NormTopK     bool `json:"norm_topk_prob"`

	Vocab        *int     `json:"vocab_size"`
	Heads        *int     `json:"num_attention_heads"`
	KVHeads      *int     `json:"num_key_value_heads"`
	HeadDim      *int     `json:"head_dim"`
	MaxPositions *int     `json:"max_position_embeddings"`
	RopeTheta    *float64 `json:"rope_theta"`
	NormEps      *float64 `json:"rms_norm_eps"`
	Tied         bool     `json:"tie_word_embeddings"`
	EndOfText    tokenIDs `json:"eos_token_id"`

	// RopeScaling is the older spelling; RopeParameters holds rope_theta, too.
	RopeScaling    *ropeFields `json:"rope_scaling"`
	RopeParameters *ropeFields `json:"rope_parameters"`

	// What follows is read to be refused where it changes arithmetic. The dtype, under
	// both its names, is not read: the tensors themselves say how they are stored.
	HiddenAct     *string         `json:"hidden_act"`
	ClipQKV       *float64        `json:"clip_qkv"`
	AttentionBias bool            `json:"attention_bias"`
	SlidingWindow *int            `json:"sliding_window"`
	UseWindow     bool            `json:"use_sliding_window"`
	DenseLayers   []int           `json:"mlp_only_layers"`
	SparseStep    *int            `json:"decoder_sparse_step"`
	Quantization  json.RawMessage `json:"quantization_config"`

	problems []error
}

// ropeFields are the rotary embedding's parameters; all but theta scale it.
type ropeFields struct {
	Theta   *float64 `json:"rope_theta"`
	Kind    string   `json:"rope_type"`
	OldKind string   `json:"type"`
	Partial *float64 `json:"partial_rotary_factor"`
}

// tokenIDs is one id, a list of them, or null.
type tokenIDs []int

// UnmarshalJSON accepts all three.
func (t *tokenIDs) UnmarshalJSON(text []byte) error {
	var one *int
	if json.Unmarshal(text, &one) == nil {
		if one != nil {
			*t = tokenIDs{*one}
		}
		return nil
	}
	if json.Unmarshal(text, (*[]int)(t)) != nil {
		return fmt.Errorf("eos_token_id: %s is neither an id nor a list of ids", text)
	}
	return nil
}

func decodeConfig(text []byte) (*configFields, error) {
	f := &configFields{}
	err := json.Unmarshal(text, f)
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return nil, fmt.Errorf("%s: a JSON %s does not fit", kind.Field, kind.Value)
	}
	return f, err
}

func (f *configFields) problem(format string, args ...any) {
	f.problems = append(f.problems, fmt.Errorf(format, args...))
}

// need returns a field that no checkpoint can be read without.
func (f *configFields) need(name string, value *int) int {
	if value == nil {
		f.problem("%s is missing", name)
		return 1 // keeps later checks from complaining about the same field
	}
	return *value
}

// either chooses between two spellings of one field.
func (f *configFields) either(name string, value *int, other string, alt *int) *int {
	if value == nil {
		value = alt
	}
	if alt != nil && *alt != *value {
		f.problem("%s %d and %s %d differ", name, *value, other, *alt)
	}
	return value
}

// ropeTheta may stand at the top or in rope_parameters.
func (f *configFields) ropeTheta(fam *family) float64 {
	if f.RopeParameters == nil || f.RopeParameters.Theta == nil {
		return orDefault(f.RopeTheta, fam.ropeTheta)
	}
	theta := *f.RopeParameters.Theta
	if f.RopeTheta != nil && *f.RopeTheta != theta {
		f.problem("rope_theta %g and rope_parameters' %g differ", *f.RopeTheta, theta)
	}
	return theta
}

// refuse notes every field that asks for arithmetic which is not implemented:
// running without it would give wrong results, and no error.
func (f *configFields) refuse(fam *family) {
	refuse := func(wrong bool, format string, args ...any) {
		if wrong {
			f.problem(format+" is not supported: it changes the model's arithmetic", args...)
		}
	}
	refuse(orDefault(f.HiddenAct, "silu") != "silu",
		"hidden_act %q (other than silu)", orDefault(f.HiddenAct, ""))
	refuse(f.ClipQKV != nil, "clip_qkv %g", orDefault(f.ClipQKV, 0))
	refuse(f.AttentionBias, "attention_bias true")
	refuse(len(f.DenseLayers) > 0, "mlp_only_layers %v (dense layers)", f.DenseLayers)
	refuse(orDefault(f.SparseStep, 1) != 1,
		"decoder_sparse_step %d (dense layers)", orDefault(f.SparseStep, 1))
	refuse(len(f.Quantization) > 0 && string(f.Quantization) != "null", "quantization_config")
	if fam.windowFlag {
		refuse(f.UseWindow, "use_sliding_window true")
	} else {
		refuse(f.SlidingWindow != nil, "sliding_window %d", orDefault(f.SlidingWindow, 0))
	}
	for _, rope := range []struct {
		name   string
		fields *ropeFields
	}{{"rope_scaling", f.RopeScaling}, {"rope_parameters", f.RopeParameters}} {
		if r := rope.fields; r != nil {
			kind := cmp.Or(r.Kind, r.OldKind, "default")
			refuse(kind != "default", "%s of type %q", rope.name, kind)
			refuse(orDefault(r.Partial, 1) != 1,
				"%s: partial_rotary_factor %g", rope.name, orDefault(r.Partial, 1))
		}
	}
}

func orDefault[T any](value *T, otherwise T) T {
	if value == nil {
		return otherwise
	}
	return *value
}
