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
			"432 uploads made, by belady 48 with a budget of 16 GiB",
		"ufm: 11,838 tok/s, 97.4 % of the limit of 42.1 ms a step, which the link from the host sets; " +
			"48 uploads made, by belady 48 with 128 slots",
		"speed of ufm: 408 × naive, with 88.9 % of the bank on the device",
		"the link binds even the best policy: only a larger budget (of the bank's 18 GiB it has " +
			"16 GiB) or a faster link lifts the limit, or 16-bit weights, which halve every upload",
		"compute waited 37.0 of 43.2 ms for uploads: uploads that start earlier (prefetch) or fewer " +
			"of them would shorten the step",
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
		{"link", false, func(r *Row) { r.LimitBy = new(byLink) }, "16-bit weights"},
		{"policy", false, func(r *Row) {
			r.Uploads, r.UploadMs = new(int64(60)), new(30.0)
		}, "would make 48 of the 60 uploads, which took 30.0 ms"},
		{"stalls", false, func(r *Row) { r.StallMs = new(10.0) }, "waited 10.0 of 43.2 ms"},
		{"kernels", false, func(r *Row) { r.LimitFraction, r.LimitMs = new(0.5), new(21.5) },
			"compute took 43.0 of 43.2 ms"},
		{"overhead", false, func(r *Row) { r.ComputeMs = new(23.25) }, "a part of the 43.2 ms went neither into compute (23.2) nor into uploads (5.00)"},
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
