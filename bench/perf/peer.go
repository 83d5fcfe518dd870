package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"ufm/bench"
)

// answer is what a peer said of a case: a time, or why there is none.
type answer struct {
	ms  float64
	why string
}

// String is the answer for the table.
func (a answer) String() string {
	if a.ms > 0 {
		return fmt.Sprintf("%.4g", a.ms)
	}
	return a.why
}

// peer is another program that runs the layer.
type peer struct {
	variable string // of the environment, that names it
	// arguments are those of a case; nil where the program has no such case.
	arguments func(r bench.Row) []string
}

var torchPeer = peer{"UFM_PEER_TORCH", func(r bench.Row) []string {
	mode := map[string]string{
		"baseline": "baseline", "naive": "naive", "published": "ufm", "ufm": "overlap",
	}[r.Mode]
	dtype := map[string]string{"f32": "float32", "f16": "float16", "bf16": "bfloat16"}[r.DType]
	return []string{
		"--experts", fmt.Sprint(r.Experts), "--modes", mode,
		"--dm", fmt.Sprint(r.DModel), "--dh", fmt.Sprint(r.DHidden),
		"--tokens", fmt.Sprint(r.Tokens), "--topk", fmt.Sprint(r.TopK), "--dtype", dtype,
		"--budget-gb", fmt.Sprintf("%.3f", float64(r.BudgetBytes)/(1<<30)),
	}
}}

var ggmlPeer = peer{"UFM_PEER_GGML", func(r bench.Row) []string {
	if r.Mode != "baseline" {
		return nil // it keeps all experts on the device
	}
	dtype := map[string]int{"f32": 0, "f16": 1, "bf16": 30}[r.DType]
	var words []string
	for _, n := range []int{dtype, r.DModel, r.DHidden, r.Experts, r.TopK, r.Tokens} {
		words = append(words, fmt.Sprint(n))
	}
	return words
}}

// ask runs a peer on a row's case. Whatever goes wrong is its answer: the table goes on.
func ask(ctx context.Context, p peer, r bench.Row) answer {
	command := strings.Fields(os.Getenv(p.variable))
	if len(command) == 0 || r.Form != "gelu" || r.Layers > 1 {
		return answer{why: "-"}
	}
	arguments := p.arguments(r)
	if arguments == nil {
		return answer{why: "-"}
	}
	ctx, cancel := context.WithTimeout(ctx, peerLimit)
	defer cancel()
	c := exec.CommandContext(ctx, command[0], append(command[1:], arguments...)...)
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return answer{why: "failed: " + err.Error()}
	}
	return parse(out)
}

// parse takes the last time that a peer printed.
func parse(out []byte) answer {
	a := answer{why: "no ms_step"}
	for line := range strings.Lines(string(out)) {
		var said struct {
			Ms    float64 `json:"ms_step"`
			Speed any     `json:"tok_s"`
		}
		switch {
		case json.Unmarshal([]byte(line), &said) != nil:
		case said.Ms > 0:
			a = answer{ms: said.Ms}
		case said.Speed == "OOM":
			a = answer{why: "out of memory"}
		}
	}
	return a
}
