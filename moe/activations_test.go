package moe

import (
	"bytes"
	"io/fs"
	"maps"
	"math"
	"os"
	"testing"

	"ufm/internal/safetensors"
	"ufm/moe/tiny"
)

// openRecording opens what was recorded with a trained checkpoint.
func openRecording(t *testing.T, name string, s Shape) *Activations {
	t.Helper()
	var b []byte
	var err error
	if name == tiny.Name {
		b, err = fs.ReadFile(tiny.FS(), tiny.ActivationsFile)
	} else {
		b, err = os.ReadFile(sharedData(t, "vectors", name, "activations.safetensors"))
	}
	if err != nil {
		t.Fatal(err)
	}
	a, err := OpenActivations(bytes.NewReader(b), int64(len(b)), name, s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestRecordings(t *testing.T) {
	for name, test := range map[string]struct {
		tokens int
		routed bool
	}{
		tiny.Name: {96, true}, "qwen3_moe": {40, false},
		"mixtral": {40, false}, "olmoe": {40, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := openTrained(t, name).Shape()
			a := openRecording(t, name, s)
			if a.Tokens != test.tokens {
				t.Errorf("tokens = %d, want %d", a.Tokens, test.tokens)
			}
			if got := a.Experts != nil && a.Weights != nil; got != test.routed {
				t.Errorf("routing recorded: %v, want %v", got, test.routed)
			}
			for l := range s.Layers {
				if n := a.Tokens * s.DModel; len(a.Input[l]) != n || len(a.Output[l]) != n {
					t.Errorf("layer %d has %d and %d values, want %d",
						l, len(a.Input[l]), len(a.Output[l]), n)
				}
			}
		})
	}
}

// TestRecordedRouting compares the recorded choice with the gate's.
func TestRecordedRouting(t *testing.T) {
	c := openTrained(t, tiny.Name)
	s := c.Shape()
	a := openRecording(t, tiny.Name, s)
	for l := range s.Layers {
		gate, err := c.Router(l)
		if err != nil {
			t.Fatal(err)
		}
		for token := range a.Tokens {
			logits := product64(gate, float64s(a.Input[l][token*s.DModel:][:s.DModel]))
			ids, weights := a.Experts[l][token*s.TopK:], a.Weights[l][token*s.TopK:]
			for k := 1; k < s.TopK; k++ {
				want := math.Exp(logits[ids[k]] - logits[ids[0]])
				if got := float64(weights[k] / weights[0]); math.Abs(got-want) > 1e-5 {
					t.Fatalf("layer %d token %d: weight %d is %g of the first, the gate says %g",
						l, token, k, got, want)
				}
			}
		}
	}
}

func TestBadRecordings(t *testing.T) {
	s := Shape{Layers: 2, Experts: 3, DModel: 4, DHidden: 5, TopK: 2, Form: SwiGLU}
	zeros := func(name, dtype string, size int, shape ...int64) safetensors.Data {
		for _, n := range shape {
			size *= int(n)
		}
		return safetensors.Data{Name: name, DType: dtype, Shape: shape, Bytes: make([]byte, size)}
	}
	good := map[string]safetensors.Data{}
	set := func(m map[string]safetensors.Data, d safetensors.Data) { m[d.Name] = d }
	for _, l := range []string{"layers.0.", "layers.1."} {
		set(good, zeros(l+"moe_input", "F32", 4, 6, 4))
		set(good, zeros(l+"moe_output", "F32", 4, 6, 4))
		set(good, zeros(l+"experts", "I16", 2, 6, 2))
		set(good, zeros(l+"weights", "F32", 4, 6, 2))
	}
	read := func(t *testing.T, m map[string]safetensors.Data) (*Activations, error) {
		b := weightFile(t, m)
		return OpenActivations(bytes.NewReader(b), int64(len(b)), "rec.st", s)
	}
	if a, err := read(t, good); err != nil || a.Tokens != 6 || len(a.Experts) != 2 {
		t.Fatalf("the good recording: %+v, error %v", a, err)
	}
	nan := zeros("layers.1.moe_output", "F32", 4, 6, 4)
	copy(nan.Bytes[4*5:], []byte{0, 0, 0xc0, 0x7f})
	outside := zeros("layers.1.experts", "I16", 2, 6, 2)
	outside.Bytes[6] = 3
	for name, test := range map[string]struct {
		change safetensors.Data // without a shape: removed
		want   []string
	}{
		"missing input": {safetensors.Data{Name: "layers.1.moe_input"},
			[]string{"layers.1.moe_input", "is missing", "2 layers"}},
		"missing output": {safetensors.Data{Name: "layers.0.moe_output"},
			[]string{"layers.0.moe_output", "is missing"}},
		"half routed": {safetensors.Data{Name: "layers.1.experts"},
			[]string{"layers.1.experts", "is missing"}},
		"width": {zeros("layers.0.moe_input", "F32", 4, 6, 8),
			[]string{"layers.0.moe_input", "F32 [6 8]", "F32 [6 4]"}},
		"tokens differ": {zeros("layers.1.moe_output", "F32", 4, 5, 4),
			[]string{"layers.1.moe_output", "[5 4]", "[6 4]"}},
		"dtype": {zeros("layers.1.moe_input", "BF16", 2, 6, 4),
			[]string{"BF16 [6 4]", "must be F32 [6 4]"}},
		"rank": {zeros("layers.0.moe_input", "F32", 4, 24), []string{"[24]"}},
		"top-k": {zeros("layers.0.experts", "I16", 2, 6, 3),
			[]string{"layers.0.experts", "[6 3]", "[6 2]"}},
		"more layers": {zeros("layers.2.moe_input", "F32", 4, 6, 4),
			[]string{"layers.2.moe_input", "2 layers"}},
		"NaN":            {nan, []string{"layers.1.moe_output", "holds NaN at [1 1]"}},
		"no such expert": {outside, []string{"layers.1.experts", "names expert 3", "have 3"}},
	} {
		t.Run(name, func(t *testing.T) {
			changed := maps.Clone(good)
			set(changed, test.change)
			if test.change.Shape == nil {
				delete(changed, test.change.Name)
			}
			_, err := read(t, changed)
			wantErrorWith(t, err, append(test.want, "moe: activations: rec.st: ")...)
		})
	}
	t.Run("no tokens", func(t *testing.T) {
		empty := map[string]safetensors.Data{}
		for _, d := range good {
			d.Shape, d.Bytes = []int64{0, d.Shape[1]}, nil
			set(empty, d)
		}
		_, err := read(t, empty)
		wantErrorWith(t, err, "has no tokens")
	})
	t.Run("not safetensors", func(t *testing.T) {
		_, err := OpenActivations(bytes.NewReader(nil), 0, "rec.st", s)
		wantErrorWith(t, err, "moe: activations: safetensors: rec.st: ")
	})
}
