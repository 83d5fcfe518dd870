package moe

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"
	"testing/fstest"

	"ufm/internal/safetensors"
)

// fakeText is the files of a whole small model of the first family, changed by edit.
func fakeText(t *testing.T, edit func(config map[string]any, tensors map[string]safetensors.Data)) fstest.MapFS {
	t.Helper()
	config := fakeConfig(families[0].architecture, 8, 16)
	config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"] = 4, 2, 6
	tensors := fakeTensors(families[0], 8, 16, "BF16")
	c, _, err := parseConfig(jsonText(t, config))
	if err != nil {
		t.Fatal(err)
	}
	for kind := range Head + 1 {
		for l := range 2 {
			out, in := c.DenseShape(kind)
			shape := []int64{int64(out), int64(in)}
			if in == 1 {
				shape = shape[:1]
			}
			name := kind.tensor(l)
			tensors[name] = safetensors.Data{Name: name, DType: "BF16", Shape: shape,
				Bytes: bytes.Repeat([]byte{0x80, 0x3f}, out*in)}
		}
	}
	edit(config, tensors)
	return fstest.MapFS{configFile: {Data: jsonText(t, config)}, singleFile: {Data: weightFile(t, tensors)}}
}

func TestTextCheckpointErrors(t *testing.T) {
	const query = "model.layers.1.self_attn.q_proj.weight"
	type files = map[string]safetensors.Data
	reshape := func(name, dtype string, shape ...int64) func(map[string]any, files) {
		return func(_ map[string]any, f files) {
			size := map[string]int64{"F32": 4}[dtype]
			if size == 0 {
				size = 2
			}
			for _, n := range shape {
				size *= n
			}
			f[name] = safetensors.Data{Name: name, DType: dtype, Shape: shape, Bytes: make([]byte, size)}
		}
	}
	without := func(name string) func(map[string]any, files) {
		return func(_ map[string]any, f files) { delete(f, name) }
	}
	for name, test := range map[string]struct {
		edit func(map[string]any, files)
		want []string // parts of the error; none: there is none
	}{
		"complete":     {func(map[string]any, files) {}, nil},
		"missing":      {without(query), []string{query, "is missing"}},
		"no embedding": {without("model.embed_tokens.weight"), []string{"model.embed_tokens.weight"}},
		"no head":      {without("lm_head.weight"), []string{"lm_head.weight", "is missing"}},
		"no norm":      {without("model.layers.0.self_attn.k_norm.weight"), []string{"k_norm.weight", "is missing"}},
		"tied head": {func(c map[string]any, f files) {
			c["tie_word_embeddings"] = true
			delete(f, "lm_head.weight")
		}, nil},
		"shape":           {reshape(query, "BF16", 8, 24), []string{singleFile, query, "[8 24]", "[24 8]"}},
		"rank of a norm":  {reshape("model.norm.weight", "BF16", 8, 1), []string{"model.norm.weight", "[8 1]", "asks for [8]"}},
		"length of norm":  {reshape("model.norm.weight", "BF16", 9), []string{"model.norm.weight", "[9]"}},
		"norm in float32": {reshape("model.norm.weight", "F32", 8), nil},
		"dtypes differ":   {reshape(query, "F32", 24, 8), []string{query, "f32", "bf16", "stored alike"}},
		"dtype":           {reshape(query, "I16", 24, 8), []string{query, "I16"}},
		"odd head": {func(c map[string]any, _ files) { c["head_dim"] = 5 },
			[]string{configFile, "head_dim 5 is odd"}},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := fakeText(t, test.edit)
			c, err := OpenText(fsys, "fake")
			if len(test.want) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Close(); err != nil {
					t.Error(err)
				}
				return
			}
			wantErrorWith(t, err, append(test.want, "moe: checkpoint fake: ")...)
			if plain, err := OpenCheckpoint(fsys, "fake"); err != nil {
				t.Errorf("the MoE layers alone: %v", err)
			} else {
				plain.Close()
			}
		})
	}
}

// TestTextCheckpointNotFinite finds a value that is not finite wherever it stands.
func TestTextCheckpointNotFinite(t *testing.T) {
	const name = "model.layers.0.self_attn.q_proj.weight"
	for at := range 24 * 8 {
		fsys := fakeText(t, func(_ map[string]any, f map[string]safetensors.Data) {
			b := bytes.Clone(f[name].Bytes)
			binary.LittleEndian.PutUint16(b[2*at:], 0xff80) // -infinity
			f[name] = safetensors.Data{Name: name, DType: "BF16", Shape: f[name].Shape, Bytes: b}
		})
		c, err := OpenText(fsys, "fake")
		if err != nil {
			t.Fatal(err)
		}
		wantErrorWith(t, c.FillDense(Query, 0, make([]byte, 24*8*2)), name, "-Inf")
		_, err = c.Dense(Query, 0)
		wantErrorWith(t, err, name, "-Inf")
		c.Close()
	}
}

// TestTextCheckpointDense compares every weight, as values and as stored.
func TestTextCheckpointDense(t *testing.T) {
	for _, name := range trained {
		m := openText(t, name)
		c := m.Config()
		for kind := range Head + 1 {
			v, err := m.Dense(kind, 1)
			if err != nil {
				t.Fatal(err)
			}
			out, in := c.DenseShape(kind)
			if len(v) != out*in {
				t.Errorf("%s %s: got %d values, want %d", name, kind.tensor(1), len(v), out*in)
			}
			if in < 2 {
				continue
			}
			raw, again := make([]byte, 2*len(v)), make([]float32, len(v))
			if err := m.FillDense(kind, 1, raw); err != nil {
				t.Fatal(err)
			}
			decode(again, raw, BF16)
			sameBits(t, name+" "+kind.tensor(1), again, v)
			if err := m.FillDense(kind, 1, raw[2:]); err == nil {
				t.Errorf("%s %s: fill of a short buffer: no error", name, kind.tensor(1))
			}
		}
		if _, err := m.Dense(Query, c.Layers); err == nil {
			t.Errorf("%s: layer %d: no error", name, c.Layers)
		}
		if v, err := m.Dense(Head+1, 0); err == nil || v != nil {
			t.Errorf("%s: unknown kind: got %d values, error %v", name, len(v), err)
		}
	}
}

func TestTextBatchValidate(t *testing.T) {
	c := Config{Layers: 2, Experts: 4, TopK: 2, Vocab: 10, DModel: 8, DHidden: 8}
	cfg := TextConfig{Run: RunConfig{Shape: c.Shape(F32), MaxTokens: 3}, Context: 5, Logits: 2}
	ids := []int32{1, 2, 9}
	for name, test := range map[string]struct {
		batch    TextBatch
		position int
		want     string // "": valid
	}{
		"plain":          {TextBatch{IDs: ids}, 2, ""},
		"two logits":     {TextBatch{IDs: ids, Logits: make([]float32, 20)}, 0, ""},
		"all":            {TextBatch{IDs: ids[:1], Experts: make([]uint32, 4), Weights: make([]float32, 4), Predicted: make([]uint32, 4), Routing: []uint32{0, 1, 2, 3}}, 0, ""},
		"empty":          {TextBatch{}, 0, "0 tokens"},
		"too many":       {TextBatch{IDs: []int32{1, 1, 1, 1}}, 0, "4 tokens: the runner takes 1 to 3"},
		"context":        {TextBatch{IDs: ids}, 3, "3 tokens after 3 exceed the context of 5"},
		"id":             {TextBatch{IDs: []int32{0, 10}}, 0, "token 1 has id 10, the vocabulary has 10"},
		"negative id":    {TextBatch{IDs: []int32{-1}}, 0, "id -1"},
		"three logits":   {TextBatch{IDs: ids, Logits: make([]float32, 30)}, 0, "room for 30 logits"},
		"part of logits": {TextBatch{IDs: ids, Logits: make([]float32, 11)}, 0, "room for 11 logits"},
		"more logits":    {TextBatch{IDs: ids[:1], Logits: make([]float32, 20)}, 0, "1 to 1 tokens"},
		"experts":        {TextBatch{IDs: ids, Experts: make([]uint32, 3)}, 0, "room for 3 experts, not 12"},
		"weights":        {TextBatch{IDs: ids, Weights: make([]float32, 3)}, 0, "room for 3 weights"},
		"predictions":    {TextBatch{IDs: ids, Predicted: make([]uint32, 3)}, 0, "room for 3 predictions"},
		"routing":        {TextBatch{IDs: ids, Routing: make([]uint32, 3)}, 0, "routing has 3 ids, not 12"},
		"twice":          {TextBatch{IDs: ids[:1], Routing: []uint32{0, 1, 3, 3}}, 0, "expert 3 twice"},
	} {
		err := test.batch.Validate(cfg, c, test.position)
		if test.want == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: got error %v, want one with %q", name, err, test.want)
		}
	}
}

// TestReferenceAttentionOfOne guards the reference itself: attention to one token is that
// token's value.
func TestReferenceAttentionOfOne(t *testing.T) {
	c := Config{Heads: 4, KVHeads: 2, HeadDim: 2}
	v := []float64{1, 2, 3, 4}
	got := referenceAttention(c, make([]float64, 8), make([]float64, 4), v, 1)
	for i, want := range []float64{1, 2, 1, 2, 3, 4, 3, 4} {
		if math.Abs(got[i]-want) > 1e-15 {
			t.Fatalf("got %v, want each value twice", got)
		}
	}
}
