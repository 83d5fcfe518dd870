package moe

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// Config is what a checkpoint's config.json says, checked, with its family's
// defaults in place of absent fields.
type Config struct {
	Architecture   string
	Layers         int
	Experts        int // per layer
	TopK           int
	DModel         int
	DHidden        int // of one expert
	NormTopK       bool
	Vocab          int
	Heads          int
	KVHeads        int
	HeadDim        int
	QueryKeyNorm   NormSpan
	MaxPositions   int // 0: not stated
	RopeTheta      float64
	NormEps        float64
	TiedEmbeddings bool
	EndOfText      []int // token ids; empty: none
}

// NormSpan is what the RMSNorm of queries and keys goes over.
type NormSpan uint8

// The spans.
const (
	NoNorm   NormSpan = iota // Mixtral has no such norm
	PerHead                  // Qwen3: each head by itself
	WholeRow                 // OLMoE: all heads together
)

// Shape is the shape of the MoE layers if experts are stored as dtype.
func (c Config) Shape(dtype DType) Shape {
	return Shape{Layers: c.Layers, Experts: c.Experts, DModel: c.DModel, DHidden: c.DHidden,
		TopK: c.TopK, Form: SwiGLU, DType: dtype, NormTopK: c.NormTopK}
}

// family is what differs between the supported architectures.
type family struct {
	architecture string
	modelType    string
	expertsField string // their number in config.json, as the family spells it
	block        string // of the MoE layer in tensor names
	gate         string // an expert's matrices in tensor names
	up           string
	down         string
	moeHidden    bool // d_hidden is moe_intermediate_size, else intermediate_size
	alwaysNorm   bool // the top-k weights add up to 1 whatever norm_topk_prob says
	queryKeyNorm NormSpan
	windowFlag   bool // sliding_window counts only where use_sliding_window is set
	ropeTheta    float64
	normEps      float64
}

var families = []*family{
	{architecture: "Qwen3MoeForCausalLM", modelType: "qwen3_moe", expertsField: "num_experts",
		block: "mlp", gate: "gate_proj", up: "up_proj", down: "down_proj",
		moeHidden: true, queryKeyNorm: PerHead, windowFlag: true, ropeTheta: 1e4, normEps: 1e-6},
	{architecture: "MixtralForCausalLM", modelType: "mixtral", expertsField: "num_local_experts",
		block: "block_sparse_moe", gate: "w1", up: "w3", down: "w2",
		alwaysNorm: true, ropeTheta: 1e6, normEps: 1e-5},
	{architecture: "OlmoeForCausalLM", modelType: "olmoe", expertsField: "num_experts",
		block: "mlp", gate: "gate_proj", up: "up_proj", down: "down_proj",
		queryKeyNorm: WholeRow, ropeTheta: 1e4, normEps: 1e-5},
}

func familyOf(architecture string) *family {
	for _, fam := range families {
		if fam.architecture == architecture {
			return fam
		}
	}
	return nil
}

// fields is the config.json that says c, for matrices stored as t.
func (c Config) fields(fam *family, t DType) map[string]any {
	f := map[string]any{
		"architectures": []string{c.Architecture}, "model_type": fam.modelType,
		"hidden_act": "silu", "num_hidden_layers": c.Layers, "hidden_size": c.DModel,
		"num_experts_per_tok": c.TopK, "norm_topk_prob": c.NormTopK, "vocab_size": c.Vocab,
		"num_attention_heads": c.Heads, "num_key_value_heads": c.KVHeads, "head_dim": c.HeadDim,
		"max_position_embeddings": c.MaxPositions, "rope_theta": c.RopeTheta,
		"rms_norm_eps": c.NormEps, "tie_word_embeddings": c.TiedEmbeddings,
		"torch_dtype": [...]string{F32: "float32", F16: "float16", BF16: "bfloat16"}[t],
	}
	f[fam.expertsField] = c.Experts
	if len(c.EndOfText) > 0 {
		f["eos_token_id"] = c.EndOfText
	}
	if fam.moeHidden {
		f["moe_intermediate_size"] = c.DHidden
	} else {
		f["intermediate_size"] = c.DHidden
	}
	return f
}

// parseConfig reads a config.json. The error lists everything that is wrong with it.
func parseConfig(text []byte) (Config, *family, error) {
	f, err := decodeConfig(text)
	if err != nil {
		return Config{}, nil, err
	}
	fam, err := f.family()
	if err != nil {
		return Config{}, nil, err
	}
	c := f.config(fam)
	f.refuse(fam)
	c.check(&f.problems)
	err = errors.Join(f.problems...)
	if err == nil {
		err = c.Shape(F32).Validate() // what is left: products that overflow
	}
	if err != nil {
		return Config{}, nil, err
	}
	return c, fam, nil
}

// family finds the architecture; a config that names none is known by its model type.
func (f *configFields) family() (*family, error) {
	name := strings.Join(f.Architectures, ", ")
	var supported []string
	for _, fam := range families {
		if name == fam.architecture || name == "" && f.ModelType == fam.modelType {
			return fam, nil
		}
		supported = append(supported, fam.architecture)
	}
	field := "architectures"
	if name == "" {
		field, name = "model_type", f.ModelType
	}
	return nil, fmt.Errorf("unknown architecture %q in %s (supported: %s)",
		name, field, strings.Join(supported, ", "))
}

// config takes the fields over and notes those that are missing or contradict.
func (f *configFields) config(fam *family) Config {
	experts := f.either("num_experts", f.Experts, "num_local_experts", f.LocalExperts)
	c := Config{
		Architecture:   fam.architecture,
		Layers:         f.need("num_hidden_layers", f.Layers),
		Experts:        f.need("num_experts", experts),
		TopK:           f.need("num_experts_per_tok", f.TopK),
		DModel:         f.need("hidden_size", f.DModel),
		NormTopK:       fam.alwaysNorm || f.NormTopK,
		Vocab:          f.need("vocab_size", f.Vocab),
		Heads:          f.need("num_attention_heads", f.Heads),
		MaxPositions:   orDefault(f.MaxPositions, 0),
		RopeTheta:      f.ropeTheta(fam),
		QueryKeyNorm:   fam.queryKeyNorm,
		NormEps:        orDefault(f.NormEps, fam.normEps),
		TiedEmbeddings: f.Tied,
		EndOfText:      f.EndOfText,
	}
	if fam.moeHidden {
		c.DHidden = f.need("moe_intermediate_size", f.MoeHidden)
	} else {
		c.DHidden = f.need("intermediate_size", f.Hidden)
	}
	c.KVHeads = orDefault(f.KVHeads, c.Heads)
	c.HeadDim = orDefault(f.HeadDim, c.DModel/max(c.Heads, 1))
	if f.HeadDim == nil && c.Heads > 0 && c.DModel%c.Heads != 0 {
		f.problem("hidden_size %d is no multiple of num_attention_heads %d, and head_dim is absent",
			c.DModel, c.Heads)
	}
	return c
}

// check notes values that no model can have, by their names in the file.
func (c Config) check(problems *[]error) {
	problem := func(format string, args ...any) {
		*problems = append(*problems, fmt.Errorf(format, args...))
	}
	for _, d := range []struct {
		name  string
		value int
		least int
	}{
		{"num_hidden_layers", c.Layers, 1}, {"num_experts", c.Experts, 1},
		{"num_experts_per_tok", c.TopK, 1}, {"hidden_size", c.DModel, 1},
		{"an expert's intermediate size", c.DHidden, 1},
		{"vocab_size", c.Vocab, 1}, {"num_attention_heads", c.Heads, 1},
		{"num_key_value_heads", c.KVHeads, 1}, {"head_dim", c.HeadDim, 1},
		{"max_position_embeddings", c.MaxPositions, 0},
	} {
		if d.value < d.least || d.value > math.MaxInt32 {
			problem("%s must lie between %d and %d, not %d",
				d.name, d.least, math.MaxInt32, d.value)
		}
	}
	if c.TopK > c.Experts {
		problem("num_experts_per_tok %d is above num_experts %d", c.TopK, c.Experts)
	}
	if c.KVHeads > 0 && c.Heads%c.KVHeads != 0 {
		problem("num_attention_heads %d is no multiple of num_key_value_heads %d",
			c.Heads, c.KVHeads)
	}
	if c.RopeTheta <= 0 {
		problem("rope_theta must be above 0, not %g", c.RopeTheta)
	}
	if c.NormEps <= 0 {
		problem("rms_norm_eps must be above 0, not %g", c.NormEps)
	}
	for _, id := range c.EndOfText {
		if id < 0 {
			problem("eos_token_id %d is negative", id)
		}
	}
}
