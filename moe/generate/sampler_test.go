package generate

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestSamplerFollowsTheDistribution compares frequencies with a plain computation.
func TestSamplerFollowsTheDistribution(t *testing.T) {
	logits := []float32{1, 3, 2, 3, -1, 0, 2.5}
	for _, s := range []Sampling{
		{Temperature: 1}, {Temperature: 0.5}, {Temperature: 2, TopK: 4}, {Temperature: 1, TopK: 1},
		{Temperature: 1, TopP: 0.6}, {Temperature: 1.3, TopK: 5, TopP: 0.8}, {Temperature: 1, TopP: 1e-9},
	} {
		want := plainDistribution(logits, s)
		const draws = 40000
		counts := make([]float64, len(logits))
		sampler := newSampler(s)
		for range draws {
			id, err := sampler.next(logits)
			if err != nil {
				t.Fatal(err)
			}
			counts[id]++
		}
		for id, p := range want {
			sigma := math.Sqrt(p * (1 - p) / draws)
			if got := counts[id] / draws; math.Abs(got-p) > 5*sigma {
				t.Errorf("%+v: token %d came with frequency %.4f, want %.4f", s, id, got, p)
			}
		}
	}
}

// plainDistribution sorts everything.
func plainDistribution(logits []float32, s Sampling) []float64 {
	order := make([]int, len(logits))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return int(math.Copysign(1, float64(logits[b]-logits[a]))) * btoi(logits[a] != logits[b])
	})
	if s.TopK > 0 {
		order = order[:s.TopK]
	}
	p, sum := make([]float64, len(logits)), 0.0
	for _, id := range order {
		p[id] = math.Exp(float64(logits[id]) / s.Temperature)
		sum += p[id]
	}
	kept, keptSum := 0.0, 0.0
	for _, id := range order {
		if s.TopP > 0 && kept >= s.TopP*sum {
			p[id] = 0
		}
		kept += p[id]
		keptSum += p[id]
	}
	for id := range p {
		p[id] /= keptSum
	}
	return p
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestSamplerIsSeeded(t *testing.T) {
	draw := func(seed uint64) (ids []int32) {
		s, random := newSampler(Sampling{Temperature: 1, Seed: seed}), rand.New(rand.NewPCG(1, 2))
		logits := make([]float32, 50)
		for range 20 {
			for i := range logits {
				logits[i] = float32(random.NormFloat64())
			}
			id, err := s.next(logits)
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		return ids
	}
	if !slices.Equal(draw(1), draw(1)) {
		t.Error("one seed gives two answers")
	}
	if slices.Equal(draw(1), draw(2)) {
		t.Error("two seeds give one answer")
	}
}

func TestGreedyTakesTheFirstOfEquals(t *testing.T) {
	s := newSampler(Sampling{})
	if id, err := s.next([]float32{1, 2, 2, 0}); err != nil || id != 1 {
		t.Errorf("got %d, %v, want 1", id, err)
	}
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
		if _, err := s.next([]float32{0, bad}); err == nil || !strings.Contains(err.Error(), "token 1") {
			t.Errorf("logit %v: got %v, want an error that names the token", bad, err)
		}
	}
}

// TestLikeliestOfMany compares the search in pieces with a plain one, at their edges too.
func TestLikeliestOfMany(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		logits := make([]float32, 1+random.IntN(1<<17))
		for i := range logits {
			logits[i] = float32(random.IntN(1000) - 2000 + random.IntN(2)*1500)
		}
		want := 0
		for i, v := range logits {
			if v > logits[want] {
				want = i
			}
		}
		if got, err := likeliest(logits); err != nil || int(got) != want {
			t.Fatalf("%d logits: got %d, %v, want %d", len(logits), got, err, want)
		}
	}
	negativeZero := float32(math.Copysign(0, -1))
	wide := make([]float32, 1<<16)
	for i := range wide {
		wide[i] = negativeZero
	}
	wide[40000] = 0
	if got, err := likeliest(wide); err != nil || got != 0 {
		t.Errorf("zeros of both signs: got %d, %v, want 0", got, err)
	}
}

func TestKthLargest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float32Range(-3, 3), 1, 40).Draw(t, "values")
		if rapid.Bool().Draw(t, "coarse") {
			for i, v := range values {
				values[i] = float32(int(v))
			}
		}
		k := rapid.IntRange(1, len(values)).Draw(t, "k")
		sorted := slices.Clone(values)
		slices.Sort(sorted)
		if got, want := kthLargest(values, k), sorted[len(sorted)-k]; got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestSamplingIsChecked(t *testing.T) {
	for want, s := range map[string]Sampling{
		"temperature": {Temperature: -1}, "top-k": {TopK: -1}, "top-p": {TopP: 1.5},
	} {
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want an error about %s", s, err, want)
		}
	}
}

func BenchmarkSampler(b *testing.B) {
	logits := make([]float32, 151936)
	for i := range logits {
		logits[i] = float32(rand.NormFloat64())
	}
	for name, s := range map[string]Sampling{
		"greedy": {}, "temperature": {Temperature: 1}, "top-k=50": {Temperature: 1, TopK: 50},
		"top-p=0.9": {Temperature: 0.7, TopP: 0.9},
	} {
		b.Run(name, func(b *testing.B) {
			sampler := newSampler(s)
			for b.Loop() {
				if _, err := sampler.next(logits); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestStopper compares with a search in the whole text.
func TestStopper(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOf(rapid.StringMatching(`[ab]{0,4}`)).Draw(t, "pieces")
		stops := rapid.SliceOfN(rapid.StringMatching(`[ab]{1,4}`), 0, 3).Draw(t, "stops")
		s, got, stopped := stopper{stops: stops}, "", false
		seen := ""
		for _, piece := range pieces {
			seen += piece
			var text string
			if text, stopped = s.write(piece); true {
				got += text
			}
			if stopped {
				break
			}
		}
		if !stopped {
			got += s.close()
		}
		want, wantStopped := seen, false
		for _, stop := range stops {
			if i := strings.Index(seen, stop); i >= 0 {
				wantStopped = true
				want = want[:min(i, len(want))]
			}
		}
		if got != want || stopped != wantStopped {
			t.Errorf("got %q, %t, want %q, %t", got, stopped, want, wantStopped)
		}
	})
}
