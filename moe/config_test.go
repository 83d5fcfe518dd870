package moe

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const qwen = "Qwen3MoeForCausalLM"

// changedConfig is fakeConfig with the fields of a JSON object laid over it.
func changedConfig(t *testing.T, architecture, fields string) []byte {
	t.Helper()
	config := fakeConfig(architecture, 8, 16)
	if err := json.Unmarshal([]byte(fields), &config); err != nil {
		t.Fatal(err)
	}
	return jsonText(t, config)
}

func TestConfigSpellings(t *testing.T) {
	same := func(*Config) {}
	for _, test := range []struct {
		fields string
		change func(want *Config)
	}{
		{`{}`, same},
		{`{"architectures":null, "model_type":"qwen3_moe"}`, same},
		{`{"num_local_experts":null, "num_experts":5}`, func(c *Config) { c.Experts = 5 }},
		{`{"num_experts":3}`, same},
		{`{"rope_theta":5e5}`, func(c *Config) { c.RopeTheta = 5e5 }},
		{`{"rope_parameters":{"rope_theta":7, "rope_type":"default"}}`,
			func(c *Config) { c.RopeTheta = 7 }},
		{`{"rope_theta":7, "rope_parameters":{"rope_theta":7}}`,
			func(c *Config) { c.RopeTheta = 7 }},
		{`{"rope_scaling":null, "rope_parameters":null}`, same},
		{`{"rope_scaling":{"type":"default"}}`, same},
		{`{"head_dim":null, "num_attention_heads":2}`,
			func(c *Config) { c.Heads, c.HeadDim = 2, 4 }},
		{`{"head_dim":6, "num_attention_heads":3}`,
			func(c *Config) { c.Heads, c.HeadDim = 3, 6 }},
		{`{"num_key_value_heads":null, "num_attention_heads":2}`,
			func(c *Config) { c.Heads, c.KVHeads, c.HeadDim = 2, 2, 4 }},
		{`{"eos_token_id":7}`, func(c *Config) { c.EndOfText = []int{7} }},
		{`{"eos_token_id":[7, 8]}`, func(c *Config) { c.EndOfText = []int{7, 8} }},
		{`{"eos_token_id":null}`, same},
		{`{"torch_dtype":"bfloat16"}`, same},
		{`{"dtype":"bfloat16"}`, same},
		{`{"norm_topk_prob":true}`, func(c *Config) { c.NormTopK = true }},
		{`{"tie_word_embeddings":true}`, func(c *Config) { c.TiedEmbeddings = true }},
		{`{"sliding_window":4096, "use_sliding_window":false}`, same},
		{`{"mlp_only_layers":[], "decoder_sparse_step":1}`, same},
		{`{"quantization_config":null, "clip_qkv":null, "attention_bias":false}`, same},
		{`{"intermediate_size":999}`, same}, // of dense layers, which this family may have
	} {
		t.Run(test.fields, func(t *testing.T) {
			want := Config{Architecture: qwen, Layers: 2, Experts: 3, TopK: 2, DModel: 8,
				DHidden: 16, Vocab: 11, Heads: 1, KVHeads: 1, HeadDim: 8, QueryKeyNorm: PerHead,
				RopeTheta: 1e4, NormEps: 1e-6}
			test.change(&want)
			got, _, err := parseConfig(changedConfig(t, qwen, test.fields))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("config (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFamilyDefaults(t *testing.T) {
	for _, test := range []struct {
		architecture string
		norm         bool
		theta, eps   float64
	}{
		{qwen, false, 1e4, 1e-6},
		{"MixtralForCausalLM", true, 1e6, 1e-5},
		{"OlmoeForCausalLM", false, 1e4, 1e-5},
	} {
		text := changedConfig(t, test.architecture, `{"norm_topk_prob":false}`)
		c, _, err := parseConfig(text)
		if err != nil {
			t.Fatal(err)
		}
		if c.NormTopK != test.norm || c.RopeTheta != test.theta || c.NormEps != test.eps {
			t.Errorf("%s: renormalises %v, theta %g, eps %g, want %v", test.architecture,
				c.NormTopK, c.RopeTheta, c.NormEps, test)
		}
	}
}

func TestConfigRefused(t *testing.T) {
	const mixtral, olmoe = "MixtralForCausalLM", "OlmoeForCausalLM"
	type says = []string
	for _, test := range []struct {
		architecture string
		fields       string
		want         says
	}{
		{"LlamaForCausalLM", `{}`, says{`unknown architecture "LlamaForCausalLM" in architectures`,
			"supported: Qwen3MoeForCausalLM, MixtralForCausalLM, OlmoeForCausalLM"}},
		{qwen, `{"architectures":null}`, says{`unknown architecture ""`}},
		{qwen, `{"architectures":null, "model_type":"gpt2"}`, says{`architecture "gpt2" in model_type`}},
		{qwen, `{"hidden_size":null, "num_local_experts":null, "vocab_size":null}`,
			says{"hidden_size is missing", "num_experts is missing", "vocab_size is missing"}},
		{qwen, `{"moe_intermediate_size":null}`, says{"moe_intermediate_size is missing"}},
		{mixtral, `{"intermediate_size":null}`, says{"intermediate_size is missing"}},
		{qwen, `{"hidden_size":"8"}`, says{"hidden_size", "string"}},
		{qwen, `{"num_experts":4}`, says{"num_experts 4 and num_local_experts 3 differ"}},
		{qwen, `{"num_hidden_layers":0}`, says{"num_hidden_layers must lie between"}},
		{qwen, `{"hidden_size":-8}`, says{"hidden_size must lie between"}},
		{qwen, `{"num_local_experts":1099511627776}`, says{"num_experts must lie between"}},
		{qwen, `{"hidden_size":1073741824, "moe_intermediate_size":1073741824}`,
			says{"d-model 1073741824", "overflows"}},
		{qwen, `{"num_experts_per_tok":4}`, says{"num_experts_per_tok 4 is above num_experts 3"}},
		{qwen, `{"num_attention_heads":3, "num_key_value_heads":2}`,
			says{"num_attention_heads 3 is no multiple of num_key_value_heads 2"}},
		{qwen, `{"num_attention_heads":3}`, says{"hidden_size 8", "head_dim is absent"}},
		{qwen, `{"rope_theta":-1}`, says{"rope_theta must be above 0"}},
		{qwen, `{"rope_theta":1, "rope_parameters":{"rope_theta":2}}`,
			says{"rope_theta 1 and rope_parameters' 2 differ"}},
		{qwen, `{"rms_norm_eps":0}`, says{"rms_norm_eps must be above 0"}},
		{qwen, `{"eos_token_id":"end"}`, says{`eos_token_id: "end" is neither`}},
		{qwen, `{"eos_token_id":[3, -1]}`, says{"eos_token_id -1"}},
		{qwen, `{"rope_scaling":{"type":"yarn"}}`, says{`rope_scaling of type "yarn"`}},
		{qwen, `{"rope_parameters":{"rope_type":"linear", "factor":2}}`,
			says{`rope_parameters of type "linear" is not supported`}},
		{qwen, `{"rope_parameters":{"partial_rotary_factor":0.5}}`,
			says{"partial_rotary_factor 0.5"}},
		{qwen, `{"use_sliding_window":true}`, says{"use_sliding_window"}},
		{mixtral, `{"sliding_window":4096}`, says{"sliding_window 4096"}},
		{olmoe, `{"clip_qkv":8.5}`, says{"clip_qkv 8.5 is not supported"}},
		{qwen, `{"attention_bias":true}`, says{"attention_bias"}},
		{qwen, `{"hidden_act":"gelu"}`, says{`hidden_act "gelu"`}},
		{qwen, `{"mlp_only_layers":[0]}`, says{"mlp_only_layers [0]", "dense"}},
		{qwen, `{"decoder_sparse_step":2}`, says{"decoder_sparse_step 2", "dense"}},
		{qwen, `{"quantization_config":{"bits":4}}`, says{"quantization_config"}},
		{qwen, `{"clip_qkv":1, "hidden_act":"relu", "vocab_size":0}`,
			says{"clip_qkv 1", `hidden_act "relu"`, "vocab_size must lie"}},
	} {
		t.Run(test.architecture+test.fields, func(t *testing.T) {
			fsys := fakeCheckpoint(t, families[0], 8, 16, "F32")
			fsys[configFile].Data = changedConfig(t, test.architecture, test.fields)
			_, err := OpenCheckpoint(fsys, "broken")
			wantErrorWith(t, err, append(test.want, "moe: checkpoint broken: config.json: ")...)
		})
	}
}

func TestConfigNoJSON(t *testing.T) {
	for _, text := range []string{"", "{", "[]", "null", "{}{}"} {
		if _, _, err := parseConfig([]byte(text)); err == nil {
			t.Errorf("config %q was accepted", text)
		}
	}
}

// FuzzConfig checks that a config which is accepted describes a shape that exists.
func FuzzConfig(f *testing.F) {
	for _, fam := range families {
		text, err := json.Marshal(fakeConfig(fam.architecture, 8, 16))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"model_type":"olmoe", "eos_token_id":[1], "rope_parameters":{"rope_theta":1}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, fam, err := parseConfig(text)
		if err != nil {
			return
		}
		if err := c.Shape(BF16).Validate(); err != nil {
			t.Errorf("accepted config has a shape that is refused: %v", err)
		}
		if fam == nil || c.Vocab < 1 || c.HeadDim < 1 || c.Heads%c.KVHeads != 0 {
			t.Errorf("accepted config is %+v", c)
		}
	})
}
