package moe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"ufm/internal/safetensors"
)

// sharedData is the path of a file of the shared test data.
func sharedData(t *testing.T, parts ...string) string {
	t.Helper()
	root := os.Getenv("UFM_TESTDATA")
	if root == "" && os.Getenv("CI") == "true" {
		t.Fatal("UFM_TESTDATA is not set")
	}
	if root == "" {
		t.Skip("UFM_TESTDATA is not set")
	}
	return filepath.Join(append([]string{root}, parts...)...)
}

// fakeConfig is a valid config.json of an architecture, 2 layers of 3 experts, top-2.
func fakeConfig(architecture string, model, hidden int) map[string]any {
	return map[string]any{
		"architectures": []string{architecture}, "num_hidden_layers": 2,
		"num_local_experts": 3, "num_experts_per_tok": 2, "hidden_size": model,
		"intermediate_size": hidden, "moe_intermediate_size": hidden, "vocab_size": 11,
		"num_attention_heads": 1, "num_key_value_heads": 1,
	}
}

// fakeTensors are random finite weights that fit fakeConfig, by name.
func fakeTensors(fam *family, model, hidden int, dtype string) map[string]safetensors.Data {
	rng := rand.New(rand.NewPCG(uint64(model), uint64(hidden)))
	tensors := map[string]safetensors.Data{}
	add := func(name string, rows, cols int) {
		size := map[string]int{"F32": 4, "F16": 2, "BF16": 2, "F64": 8}[dtype]
		b := make([]byte, rows*cols*size)
		for i := range b {
			b[i] = byte(rng.Uint32())
			if i%size == size-1 {
				b[i] &^= 0x40 // an exponent that is never all ones
			}
		}
		shape := []int64{int64(rows), int64(cols)}
		tensors[name] = safetensors.Data{Name: name, DType: dtype, Shape: shape, Bytes: b}
	}
	for l := range 2 {
		block := fmt.Sprintf("model.layers.%d.%s", l, fam.block)
		add(block+".gate.weight", 3, model)
		for e := range 3 {
			prefix := fmt.Sprintf("%s.experts.%d.", block, e)
			add(prefix+fam.gate+".weight", hidden, model)
			add(prefix+fam.up+".weight", hidden, model)
			add(prefix+fam.down+".weight", model, hidden)
		}
	}
	return tensors
}

// fakeCheckpoint is a whole valid checkpoint in one weight file.
func fakeCheckpoint(t *testing.T, fam *family, model, hidden int, dtype string) fstest.MapFS {
	t.Helper()
	return fstest.MapFS{
		configFile: {Data: jsonText(t, fakeConfig(fam.architecture, model, hidden))},
		singleFile: {Data: weightFile(t, fakeTensors(fam, model, hidden, dtype))},
	}
}

func jsonText(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func weightFile(t *testing.T, tensors map[string]safetensors.Data) []byte {
	t.Helper()
	var list []safetensors.Data
	for t := range maps.Values(tensors) {
		list = append(list, t)
	}
	var b bytes.Buffer
	if err := safetensors.Write(&b, nil, list); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func openFake(t *testing.T, fsys fstest.MapFS) *Checkpoint {
	t.Helper()
	c, err := OpenCheckpoint(fsys, "fake")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// wantErrorWith checks that err says every one of the parts.
func wantErrorWith(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not contain %q", err, part)
		}
	}
}
