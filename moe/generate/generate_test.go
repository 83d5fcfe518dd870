package generate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"ufm/internal/trace"
	"ufm/moe"
	"ufm/moe/tiny"
)

// openTiny is the trained checkpoint, its tokenizer, and a bank on b.
func openTiny(t testing.TB, b moe.Backend) (moe.TextModel, *Text, moe.Bank) {
	t.Helper()
	m, err := moe.OpenText(tiny.FS(), tiny.Name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	text, err := OpenText(tiny.FS(), m.Config())
	if err != nil {
		t.Fatal(err)
	}
	bank, err := b.NewBank(t.Context(), m, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bank.Close() })
	return m, text, bank
}

func newSession(t testing.TB, b moe.Backend, m moe.TextModel, bank moe.Bank, o Options) *Session {
	t.Helper()
	s, err := New(b.(moe.TextBackend), m, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Attach(t.Context(), bank); err != nil {
		t.Fatal(err)
	}
	return s
}

// recorded is the trained checkpoint's text.json.
func recorded(t *testing.T) (r struct {
	NLL     float64
	EvalIDs [][]int32 `json:"eval_ids"`
	Greedy  []struct {
		PromptIDs []int32 `json:"prompt_ids"`
		OutputIDs []int32 `json:"output_ids"`
		Output    string
	}
}) {
	t.Helper()
	root := os.Getenv("UFM_TESTDATA")
	if root == "" && os.Getenv("CI") == "true" {
		t.Fatal("UFM_TESTDATA is not set")
	}
	if root == "" {
		t.Skip("UFM_TESTDATA is not set")
	}
	source, err := os.ReadFile(filepath.Join(root, "models", tiny.Name, "reference/text.json"))
	if err == nil {
		err = json.Unmarshal(source, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestGreedyIsTheRecorded continues the recorded prompts at every kind of budget and
// prefetch, token for token and letter for letter.
func TestGreedyIsTheRecorded(t *testing.T) {
	want, cpu := recorded(t), moe.NewCPU(moe.CPUOptions{})
	m, text, bank := openTiny(t, cpu)
	for _, slots := range []int{256, 64, 1} {
		for _, prefetch := range []Prefetch{PrefetchAuto, PrefetchGate, PrefetchOff} {
			s := newSession(t, cpu, m, bank, Options{Context: 80, Slots: slots, Prefetch: prefetch, Chunk: 20})
			for _, g := range want.Greedy {
				var pieces []string
				r, err := s.Generate(t.Context(), Request{Prompt: g.PromptIDs, MaxTokens: len(g.OutputIDs), Text: text},
					func(piece string) error { pieces = append(pieces, piece); return nil })
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(r.OutputIDs, g.OutputIDs) {
					t.Errorf("%d slots, %s: got ids %v, want %v", slots, prefetch, r.OutputIDs, g.OutputIDs)
				}
				if got := strings.Join(pieces, ""); got != g.Output || *r.Text != got {
					t.Errorf("%d slots, %s: got %q in pieces, %q in all, want %q",
						slots, prefetch, got, *r.Text, g.Output)
				}
				checkAccount(t, r, slots)
			}
		}
	}
}

func checkAccount(t *testing.T, r *Report, slots int) {
	t.Helper()
	p, d := r.Prefill, r.Decode
	if p.Tokens != 32 || p.Steps != 3 || d.Tokens != 47 || d.Steps != 47 {
		t.Errorf("got %d tokens in %d steps and %d in %d, want 32 in 3 and 47 in 47",
			p.Tokens, p.Steps, d.Tokens, d.Steps)
	}
	if d.Hits+d.Misses != 47*4*4 || d.Uploads != d.Misses+d.Prefetches || r.Slots != slots {
		t.Errorf("decode with %d slots counts %+v", r.Slots, d)
	}
	if r.Finish != FinishLength || r.TimeToFirstTokenMs == nil {
		t.Errorf("got finish %s, first token after %v", r.Finish, r.TimeToFirstTokenMs)
	}
}

func TestPerplexityIsTheRecorded(t *testing.T) {
	want, cpu := recorded(t), moe.NewCPU(moe.CPUOptions{})
	m, _, bank := openTiny(t, cpu)
	s := newSession(t, cpu, m, bank, Options{Context: 256, Slots: 64, Chunk: 100, Score: true})
	got, err := s.Perplexity(t.Context(), want.EvalIDs)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(got.NLL-want.NLL) > 1e-5 || got.Tokens != 2550 {
		t.Errorf("got %+v, want %.6f over 2550 tokens", got, want.NLL)
	}
	for name, bad := range map[string][][]int32{"no": nil, "predict nothing": {{1}}, "context": {make([]int32, 300)}} {
		if _, err := s.Perplexity(t.Context(), bad); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want an error with %q", err, name)
		}
	}
}

func TestAnswersEnd(t *testing.T) {
	cpu := moe.NewCPU(moe.CPUOptions{})
	m, text, bank := openTiny(t, cpu)
	prompt, err := text.Encode("Once upon a time")
	if err != nil {
		t.Fatal(err)
	}
	s := newSession(t, cpu, m, bank, Options{Context: len(prompt) + 20, Slots: 64})
	full, err := s.Generate(t.Context(), Request{Prompt: prompt, MaxTokens: 100, Text: text}, nil)
	if err != nil || full.Finish != FinishContext || len(full.OutputIDs) != 21 {
		t.Fatalf("got %+v, %v, want 21 tokens, the last without a position", full, err)
	}
	end := full.OutputIDs[5]
	first := slices.Index(full.OutputIDs, end)
	for _, test := range []struct {
		name   string
		change func(*Request)
		finish Finish
		tokens int
		text   string
	}{
		{"length", func(r *Request) { r.MaxTokens = 3 }, FinishLength, 3, text.Decode(full.OutputIDs[:3])},
		{"nothing", func(r *Request) { r.MaxTokens = 0 }, FinishLength, 0, ""},
		{"end", func(r *Request) { r.EndOfText = []int32{2000, end} }, FinishEnd, first + 1,
			text.Decode(full.OutputIDs[:first])},
		{"stop", func(r *Request) { r.Stop = []string{"zzz", (*full.Text)[7:10]} }, FinishStop, -1,
			(*full.Text)[:strings.Index(*full.Text, (*full.Text)[7:10])]},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := Request{Prompt: prompt, MaxTokens: 100, Text: text}
			test.change(&r)
			got, err := s.Generate(t.Context(), r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got.Finish != test.finish || *got.Text != test.text ||
				test.tokens >= 0 && len(got.OutputIDs) != test.tokens {
				t.Errorf("got %s after %d tokens with %q, want %s after %d with %q", got.Finish,
					len(got.OutputIDs), *got.Text, test.finish, test.tokens, test.text)
			}
			if d := got.Decode; (d.TokensPerS == nil) != (d.Tokens == 0) {
				t.Errorf("%d tokens decoded at %v tokens/s, want no speed where there are none", d.Tokens, d.TokensPerS)
			}
		})
	}
}

func TestInterruptedAnswersAreReported(t *testing.T) {
	cpu := moe.NewCPU(moe.CPUOptions{})
	m, text, bank := openTiny(t, cpu)
	s := newSession(t, cpu, m, bank, Options{Context: 100, Slots: 64})
	ctx, cancel := context.WithCancel(t.Context())
	tokens := 0
	r, err := s.Generate(ctx, Request{Prompt: []int32{5}, MaxTokens: 90, Text: text, Token: func(int32) {
		if tokens++; tokens == 4 {
			cancel()
		}
	}}, nil)
	if !errors.Is(err, context.Canceled) || r == nil || r.Finish != FinishInterrupted || len(r.OutputIDs) != 4 {
		t.Errorf("got %+v, %v, want a report of 4 tokens and the interruption", r, err)
	}
	broken := errors.New("broken pipe")
	r, err = s.Generate(t.Context(), Request{Prompt: []int32{5}, MaxTokens: 90, Text: text},
		func(string) error { return broken })
	if !errors.Is(err, broken) || r.Finish != FinishFailed {
		t.Errorf("got %+v, %v, want what emit returned", r, err)
	}
}

func TestBadRequests(t *testing.T) {
	cpu := moe.NewCPU(moe.CPUOptions{})
	m, text, bank := openTiny(t, cpu)
	s := newSession(t, cpu, m, bank, Options{Context: 8, Slots: 64})
	for want, r := range map[string]Request{
		"prompt is empty":               {},
		"9 tokens, the context 8":       {Prompt: make([]int32, 9)},
		"max tokens must be at least 0": {Prompt: []int32{1}, MaxTokens: -1},
		"temperature must be":           {Prompt: []int32{1}, Sampling: Sampling{Temperature: math.NaN()}},
		"stop at need":                  {Prompt: []int32{1}, Stop: []string{"a"}},
		"stop at is empty":              {Prompt: []int32{1}, Stop: []string{""}, Text: text},
		"id 2048":                       {Prompt: []int32{2048}, MaxTokens: 1},
	} {
		if _, err := s.Generate(t.Context(), r, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	for want, o := range map[string]Options{
		"context 0":       {Slots: 1},
		"2048 positions":  {Context: 2049, Slots: 1},
		"unknown policy":  {Context: 8, Slots: 1, Policy: "oracle"},
		"at least 1 slot": {Context: 8},
	} {
		_, err := New(cpu.(moe.TextBackend), m, o)
		if err == nil {
			t.Errorf("%+v is accepted, want an error about %s", o, want)
		}
	}
}

// TestTraceAndEvents reads back what a session writes of its tokens.
func TestTraceAndEvents(t *testing.T) {
	cpu := moe.NewCPU(moe.CPUOptions{})
	m, _, bank := openTiny(t, cpu)
	var events, routing bytes.Buffer
	s := newSession(t, cpu, m, bank, Options{Context: 40, Slots: 64, Chunk: 8, Events: &events, TraceOut: &routing})
	r, err := s.Generate(t.Context(), Request{Prompt: make([]int32, 12), MaxTokens: 5}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := trace.Read(bytes.NewReader(routing.Bytes()), int64(routing.Len()), "trace")
	if err != nil {
		t.Fatal(err)
	}
	if want := []int32{8, 4, 1, 1, 1, 1}; !slices.Equal(got.StepSizes, want) {
		t.Errorf("got steps %v, want %v", got.StepSizes, want)
	}
	if want := append(make([]int32, 12), r.OutputIDs[:4]...); !slices.Equal(got.InputIDs, want) {
		t.Errorf("got ids %v, want %v", got.InputIDs, want)
	}
	if got.Predicted[0] != -1 || got.Predicted[got.TopK] < 0 || len(got.Weights) == 0 {
		t.Errorf("got predictions %v", got.Predicted[:2*got.TopK])
	}
	if lines := strings.Count(events.String(), "\n"); lines != 1+6*4 {
		t.Errorf("got %d lines of events, want a header and 24 groups", lines)
	}
}

func TestTokenizersOfOtherModelsAreRefused(t *testing.T) {
	c := moe.Config{Vocab: 2000}
	if _, err := OpenText(tiny.FS(), c); err == nil || !strings.Contains(err.Error(), "vocab_size is 2000") {
		t.Errorf("got %v for a smaller vocabulary", err)
	}
	c.Vocab = 50000
	if _, err := OpenText(tiny.FS(), c); err == nil {
		t.Error("a far larger vocabulary is accepted")
	}
	if _, err := OpenText(fstest.MapFS{}, c); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v where there is none", err)
	}
}

func TestEndOfText(t *testing.T) {
	file := func(text string) fs.FS {
		return fstest.MapFS{"generation_config.json": &fstest.MapFile{Data: []byte(text)}}
	}
	c := moe.Config{EndOfText: []int{7, 3}}
	for name, test := range map[string]struct {
		fsys fs.FS
		want []int32
	}{
		"none": {fstest.MapFS{}, []int32{7, 3}},
		"null": {file(`{"eos_token_id":null}`), []int32{3, 7}},
		"one":  {file(`{"eos_token_id":5}`), []int32{3, 5, 7}},
		"many": {file(`{"eos_token_id":[3,9]}`), []int32{3, 7, 9}},
	} {
		got, err := EndOfText(test.fsys, c)
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, test.want)
		}
	}
	if _, err := EndOfText(file(`{"eos_token_id":"x"}`), c); err == nil {
		t.Error("a word is accepted as an id")
	}
}
