package moe

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/fstest"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/x448/float16"

	"ufm/moe/tiny"
	"ufm/pager"
)

// openTrained opens the embedded checkpoint or one of the shared random ones.
func openTrained(t *testing.T, name string) *Checkpoint {
	t.Helper()
	fsys := tiny.FS()
	if name != tiny.Name {
		fsys = os.DirFS(sharedData(t, "vectors", name))
	}
	c, err := OpenCheckpoint(fsys, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestConfigsOfTrained(t *testing.T) {
	vector := Config{Layers: 2, DModel: 64, Vocab: 512, Heads: 4, KVHeads: 2, HeadDim: 16,
		MaxPositions: 512, RopeTheta: 1e4, NormEps: 1e-5}
	tinyWant, qwen, mixtral, olmoe := vector, vector, vector, vector

	tinyWant.Architecture, tinyWant.NormTopK = "Qwen3MoeForCausalLM", true
	tinyWant.Layers, tinyWant.DModel, tinyWant.Vocab, tinyWant.MaxPositions = 4, 128, 2048, 2048
	tinyWant.Experts, tinyWant.TopK, tinyWant.DHidden, tinyWant.HeadDim = 64, 4, 32, 32
	tinyWant.QueryKeyNorm = PerHead
	tinyWant.NormEps, tinyWant.TiedEmbeddings, tinyWant.EndOfText = 1e-6, true, []int{0}

	qwen.Architecture, qwen.NormTopK = "Qwen3MoeForCausalLM", true
	qwen.Experts, qwen.TopK, qwen.DHidden = 16, 4, 40
	qwen.HeadDim, qwen.NormEps, qwen.QueryKeyNorm = 24, 1e-6, PerHead

	mixtral.Architecture, mixtral.NormTopK = "MixtralForCausalLM", true
	mixtral.Experts, mixtral.TopK, mixtral.DHidden = 8, 2, 96
	mixtral.RopeTheta, mixtral.EndOfText = 1e6, []int{2}

	olmoe.Architecture, olmoe.KVHeads = "OlmoeForCausalLM", 4
	olmoe.Experts, olmoe.TopK, olmoe.DHidden = 16, 4, 48
	olmoe.EndOfText, olmoe.QueryKeyNorm = []int{50279}, WholeRow

	for name, want := range map[string]Config{
		tiny.Name: tinyWant, "qwen3_moe": qwen, "mixtral": mixtral, "olmoe": olmoe,
	} {
		t.Run(name, func(t *testing.T) {
			c := openTrained(t, name)
			if diff := gocmp.Diff(want, c.Config()); diff != "" {
				t.Errorf("config (-want +got):\n%s", diff)
			}
			shape := Shape{Layers: want.Layers, Experts: want.Experts, DModel: want.DModel,
				DHidden: want.DHidden, TopK: want.TopK, Form: SwiGLU, DType: BF16,
				NormTopK: want.NormTopK}
			if got := c.Shape(); got != shape {
				t.Errorf("shape = %+v, want %+v", got, shape)
			}
			if c.Name() != name {
				t.Errorf("name = %q, want %q", c.Name(), name)
			}
		})
	}
}

// TestFillExpertLayout compares the fast fill of every expert with the layout's
// definition, value by value.
func TestFillExpertLayout(t *testing.T) {
	for _, name := range []string{tiny.Name, "qwen3_moe", "mixtral", "olmoe"} {
		t.Run(name, func(t *testing.T) { checkFill(t, openTrained(t, name)) })
	}
	for _, size := range []struct{ model, hidden int }{
		{1, 1}, {8, 16}, {5, 3}, {7, 70}, {130, 9}, {64, 65},
	} {
		for _, dtype := range []string{"F32", "F16", "BF16"} {
			name := fmt.Sprintf("%s %dx%d", dtype, size.model, size.hidden)
			t.Run(name, func(t *testing.T) {
				fsys := fakeCheckpoint(t, families[0], size.model, size.hidden, dtype)
				checkFill(t, openFake(t, fsys))
			})
		}
	}
}

func checkFill(t *testing.T, c *Checkpoint) {
	t.Helper()
	s := c.Shape()
	got := make([]byte, s.ExpertBytes())
	want := make([]byte, len(got))
	for e := range pager.ExpertID(s.Layers * s.Experts) {
		clear(got)
		clear(want)
		m, err := c.Expert(e)
		if err != nil {
			t.Fatal(err)
		}
		l := NewLayout(s)
		placeNatural(want[l.Gate:], m.Gate, s.DModel, l.Hidden, l)
		placeNatural(want[l.Up:], m.Up, s.DModel, l.Hidden, l)
		placeNatural(want[l.Down:], m.Down, s.DHidden, l.In, l)
		if err := c.FillExpert(e, got); err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("expert %d: byte %d = %#x, want %#x", e, i, got[i], want[i])
			}
		}
	}
}

// placeNatural writes a natural matrix (rows, cols) where Layout.Index puts its values.
func placeNatural(dst []byte, m []float32, cols, out int, l Layout) {
	for i, v := range m {
		at := l.Index(i%cols, i/cols, out) * l.DType.Size()
		switch l.DType {
		case F32:
			binary.LittleEndian.PutUint32(dst[at:], math.Float32bits(v))
		case F16:
			binary.LittleEndian.PutUint16(dst[at:], float16.Fromfloat32(v).Bits())
		case BF16:
			binary.LittleEndian.PutUint16(dst[at:], uint16(math.Float32bits(v)>>16))
		}
	}
}

// TestRolesOfMatrices runs recorded inputs through the experts in float64: a gate
// taken for an up, or weights that are renormalised where they should not be, would
// miss the recorded outputs by far.
func TestRolesOfMatrices(t *testing.T) {
	for _, name := range []string{tiny.Name, "qwen3_moe", "mixtral", "olmoe"} {
		t.Run(name, func(t *testing.T) {
			c := openTrained(t, name)
			a := openRecording(t, name, c.Shape())
			for l := range c.Shape().Layers {
				var diff, norm float64
				for token := range min(a.Tokens, 8) {
					d := c.Shape().DModel
					got := oneToken(t, c, l, a.Input[l][token*d:][:d])
					for i, want := range a.Output[l][token*d:][:d] {
						diff += (got[i] - float64(want)) * (got[i] - float64(want))
						norm += float64(want) * float64(want)
					}
				}
				if diff/norm > 1e-12 {
					t.Errorf("layer %d: NMSE %.3g, want at most 1e-12", l, diff/norm)
				}
			}
		})
	}
}

// oneToken is a layer's output for one token, as plainly as it can be written.
func oneToken(t *testing.T, c *Checkpoint, layer int, x []float32) []float64 {
	t.Helper()
	s := c.Shape()
	gate, err := c.Router(layer)
	if err != nil {
		t.Fatal(err)
	}
	p := product64(gate, float64s(x))
	order := make([]int, s.Experts)
	sum, top := 0.0, 0.0
	for e := range p {
		p[e] = math.Exp(p[e])
		sum += p[e]
		order[e] = e
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[b], p[a]) })
	for _, e := range order[:s.TopK] {
		top += p[e]
	}
	if s.NormTopK {
		sum = top
	}
	y := make([]float64, s.DModel)
	for _, e := range order[:s.TopK] {
		m, err := c.Expert(s.Paging().ID(layer, e))
		if err != nil {
			t.Fatal(err)
		}
		h, up := product64(m.Gate, float64s(x)), product64(m.Up, float64s(x))
		for i := range h {
			h[i] = h[i] / (1 + math.Exp(-h[i])) * up[i]
		}
		for i, v := range product64(m.Down, h) {
			y[i] += p[e] / sum * v
		}
	}
	return y
}

// product64 is m·x for m (len(m)/len(x), len(x)).
func product64(m []float32, x []float64) []float64 {
	y := make([]float64, len(m)/len(x))
	for i := range y {
		for k, v := range x {
			y[i] += float64(m[i*len(x)+k]) * v
		}
	}
	return y
}

func float64s(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func TestFillExpertConcurrently(t *testing.T) {
	c := openFake(t, fakeCheckpoint(t, families[1], 16, 24, "BF16"))
	var wg sync.WaitGroup
	for e := range pager.ExpertID(6) {
		for range 4 {
			wg.Go(func() {
				if err := c.FillExpert(e, make([]byte, c.Shape().ExpertBytes())); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
}

func TestShardedCheckpoint(t *testing.T) {
	whole := fakeCheckpoint(t, families[2], 8, 16, "F16")
	tensors := fakeTensors(families[2], 8, 16, "F16")
	index, parts := splitInTwo(tensors)
	sharded := fstest.MapFS{
		configFile: whole[configFile],
		indexFile:  {Data: jsonText(t, index)},
		"a.st":     {Data: weightFile(t, parts["a.st"])},
		"b.st":     {Data: weightFile(t, parts["b.st"])},
	}
	one, many := openFake(t, whole), openFake(t, sharded)
	for e := range pager.ExpertID(6) {
		want := make([]byte, one.Shape().ExpertBytes())
		got := make([]byte, len(want))
		if err := one.FillExpert(e, want); err != nil {
			t.Fatal(err)
		}
		if err := many.FillExpert(e, got); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("expert %d differs between one file and two", e)
		}
	}
}

func TestAccessOutside(t *testing.T) {
	c := openFake(t, fakeCheckpoint(t, families[0], 8, 8, "F32"))
	wantErrorWith(t, c.FillExpert(6, make([]byte, c.Shape().ExpertBytes())), "no expert 6 of 6")
	wantErrorWith(t, c.FillExpert(0, make([]byte, 12)), "has 768 bytes, the buffer 12")
	_, err := c.Expert(pager.NoExpert)
	wantErrorWith(t, err, "no expert 4294967295")
	for _, layer := range []int{-1, 2} {
		_, err = c.Router(layer)
		wantErrorWith(t, err, "no layer", "of 2")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}
