package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// answer is what a peer said of a case: a time, or why there is none.
type answer struct {
	ms   float64
	why  string
	peer string            // that was asked
	said []json.RawMessage // line by line
}

// record writes what was said of a row.
func (a answer) record(w io.Writer, row int) error {
	e := json.NewEncoder(w)
	for _, line := range a.said {
		err := e.Encode(struct {
			Row  int             `json:"row"`
			Peer string          `json:"peer"`
			Said json.RawMessage `json:"said"`
		}{row, a.peer, line})
		if err != nil {
			return err
		}
	}
	return nil
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
	name     string
	variable string // of the environment, that names its command
	// arguments are those of a case; nil where the program has no such case.
	arguments func(c testCase) []string
}

var torchPeer = peer{"torch", "UFM_PEER_TORCH", func(r testCase) []string {
	mode := map[string]string{
		"baseline": "baseline", "naive": "naive", "published": "ufm", "ufm": "overlap",
	}[r.Mode]
	dtype := map[string]string{"f32": "float32", "f16": "float16", "bf16": "bfloat16"}[r.DType]
	return []string{
		"--experts", fmt.Sprint(r.Experts), "--modes", mode,
		"--dm", fmt.Sprint(r.DModel), "--dh", fmt.Sprint(r.DHidden),
		"--tokens", fmt.Sprint(r.Tokens), "--topk", fmt.Sprint(r.TopK), "--dtype", dtype,
		"--budget-gb", gib(r.BudgetBytes + r.expertBytes()/2), // it rounds down to whole experts
		"--cap-gb", gib(r.cap()),
	}
}}

func (c testCase) expertBytes() int64 { return c.BankBytes / max(1, int64(c.Layers*c.Experts)) }

// cap is the device memory that a peer may take: what the row was allowed, else any.
func (c testCase) cap() int64 {
	if c.memoryLimit == 0 {
		return 1 << 40
	}
	return c.memoryLimit
}

func gib(bytes int64) string { return strconv.FormatFloat(float64(bytes)/(1<<30), 'f', -1, 64) }

var ggmlPeer = peer{"ggml", "UFM_PEER_GGML", func(r testCase) []string {
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

// ask runs a peer on a case. Whatever goes wrong is its answer: the table goes on.
func (p peer) ask(ctx context.Context, c testCase) answer {
	command := strings.Fields(os.Getenv(p.variable))
	if len(command) == 0 || c.Form != "gelu" || c.Layers > 1 || c.Routing != "uniform" {
		return answer{why: "-"}
	}
	arguments := p.arguments(c)
	if arguments == nil {
		return answer{why: "-"}
	}
	ctx, cancel := context.WithTimeout(ctx, peerLimit)
	defer cancel()
	program := exec.CommandContext(ctx, command[0], append(command[1:], arguments...)...)
	program.Stderr = os.Stderr
	out, err := program.Output()
	a := parse(out)
	a.peer = p.name
	if err != nil {
		a.ms, a.why = 0, "failed: "+err.Error()
	}
	return a
}

// parse takes the last time that a peer printed, and all of its lines.
func parse(out []byte) answer {
	a := answer{why: "no ms_step"}
	for line := range strings.Lines(string(out)) {
		var said struct {
			Ms    float64 `json:"ms_step"`
			Speed any     `json:"tok_s"`
		}
		if json.Unmarshal([]byte(line), &said) != nil {
			continue
		}
		a.said = append(a.said, json.RawMessage(strings.TrimSpace(line)))
		switch {
		case said.Ms > 0:
			a.ms, a.why = said.Ms, ""
		case said.Speed == "OOM":
			a.ms, a.why = 0, "out of memory"
		}
	}
	return a
}
