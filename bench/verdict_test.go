package bench

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ufm/moe"
)

func TestVerdict(t *testing.T) {
	rows := sampleRows()
	naive := rows[1]
	naive.Mode, naive.TokensPerS, naive.LimitFraction = "naive", new(29.0), new(0.0024)
	naive.Uploads = new(int64(432))
	got := Verdict([]Row{rows[0], naive, rows[1]}, moe.Device{})
	want := []string{
		`baseline: oom: does not fit: "18 GiB"`,
		"naive: 29.0 tok/s, 0.240 % of the limit of 42.1 ms a step, which the link from the host sets; " +
			"432 uploads made with the link 97.5 % busy, where belady makes 48 with a budget of 16 GiB",
		"ufm: 11,838 tok/s, 97.4 % of the limit of 42.1 ms a step, which the link from the host sets; " +
			"48 uploads made with the link 97.5 % busy, as few as belady makes with 128 slots",
		"speed of ufm: 408 × naive, with 88.9 % of the bank on the device",
		"the link binds even the best policy: only a larger budget (of the bank's 18 GiB it has " +
			"16 GiB) or a faster link lifts the limit, or 16-bit weights, with which the whole bank fits the budget",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("verdict (-want +got):\n%s", diff)
	}
}

// Each advice must appear with the figures that call for it and only with them.
func TestAdvice(t *testing.T) {
	quiet := sampleRows()[1] // at its limit by memory, no extra uploads, no stalls
	quiet.LimitBy, quiet.LimitFraction = new(byMemory), new(0.97)
	quiet.ComputeMs, quiet.StallMs, quiet.UploadMs = new(43.0), new(0.0), new(5.0)
	bound := quiet
	bound.LimitBy, bound.StallMs, bound.DType = new(byLink), new(30.0), "bf16"
	if got := bound.Advice(false); len(got) != 1 || strings.Contains(got[0], "waited") {
		t.Errorf("at the link's limit stalls tell nothing: got %q", got)
	}
	if got := quiet.Advice(false); len(got) > 0 {
		t.Errorf("nothing to help with: got %q", got)
	}
	for _, c := range []struct {
		name    string
		unified bool
		change  func(*Row)
		want    string
	}{
		{"unified", true, func(*Row) {}, "keeping all 18 GiB resident"},
		{"link", false, func(r *Row) { r.LimitBy = new(byLink) }, "with which the whole bank fits"},
		{"larger bank", false, func(r *Row) { r.LimitBy, r.BankBytes = new(byLink), 40<<30 }, "which halve every upload"},
		{"policy", false, func(r *Row) {
			r.Uploads, r.UploadMs = new(int64(60)), new(30.0)
		}, "would make 48 of the 60 uploads, which took 30.0 ms"},
		{"stalls", false, func(r *Row) { r.StallMs, r.LinkFraction = new(10.0), nil }, "waited 10.0 of 43.4 ms for uploads: fewer"},
		{"stalls of a busy link", false, func(r *Row) { r.StallMs, r.LinkFraction = new(10.0), new(0.95) },
			"with the link 95.0 % busy: only fewer"},
		{"stalls of one layer", false, func(r *Row) { r.StallMs, r.LinkFraction = new(10.0), new(0.5) },
			"a shorter way from the router"},
		{"stalls of layers", false, func(r *Row) { r.Layers, r.StallMs, r.LinkFraction = 4, new(10.0), new(0.5) },
			"start earlier (prefetch)"},
		{"kernels", false, func(r *Row) { r.LimitFraction, r.LimitMs = new(0.5), new(21.5) },
			"compute took 43.0 of 43.4 ms"},
		{"overhead", false, func(r *Row) { r.ComputeMs = new(23.25) }, "a part of the 43.4 ms went neither into compute (23.2) nor into uploads (5.00)"},
		{"ceilings", false, func(r *Row) { r.LimitFraction = new(1.2) }, "120 % of its limit"},
		{"unknown limit", true,
			func(r *Row) { r.LimitFraction, r.LimitBy = nil, nil }, "keeping all"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := quiet
			c.change(&r)
			got := r.Advice(c.unified)
			if len(got) != 1 || !strings.Contains(got[0], c.want) {
				t.Errorf("got %q, want one line with %q", got, c.want)
			}
		})
	}
}
