package bench

import (
	"strings"
	"testing"

	"ufm/internal/hardware"
)

// What cannot be predicted says why; the rest has an error beside it.
func TestPredict(t *testing.T) {
	card, err := hardware.Open("h200")
	if err != nil {
		t.Fatal(err)
	}
	row := Row{
		Mode: "ufm", Status: StatusOK, Layers: 2, Experts: 16, DModel: 64, DHidden: 64, TopK: 2,
		Form: "gelu", DType: "f32", Routing: "uniform", Tokens: 4, Steps: new(5), Seed: 1,
		Policy: new("nextuse"), Slots: 12, StepMsMedian: new(1.0), Uploads: new(int64(1)),
	}
	change := func(f func(*Row)) Row { r := row; f(&r); return r }
	rows := []Row{
		row,
		change(func(r *Row) { r.Mode, r.Slots = "baseline", 32 }),
		change(func(r *Row) { r.Mode = "published" }),
		change(func(r *Row) { r.Mode = "naive" }),
		change(func(r *Row) { r.Status = StatusOOM }),
		change(func(r *Row) { r.Routing = "router" }),
		change(func(r *Row) { r.Routing = "trace:a.safetensors" }),
		change(func(r *Row) { r.Form = "relu" }),
		change(func(r *Row) { r.Policy = new("later") }),
	}
	why := []string{"", "", "", "keeps experts resident", "status oom", "routing router", "trace",
		"relu", "later"}
	for i, m := range Model(rows, card) {
		if m.Kind != Modeled || m.Mode != rows[i].Mode || m.Slots != rows[i].Slots {
			t.Errorf("row %d: got %+v", i, m)
		}
		if why[i] != "" && (m.Status != StatusSkipped || !strings.Contains(*m.Error, why[i]) || m.StepMsMedian != nil) {
			t.Errorf("row %d: got %+v, want a reason with %q", i, m, why[i])
		}
		if why[i] == "" && (*m.TokensPerS != 4000 / *m.StepMsMedian || *m.ModelErrorFraction != *m.StepMsMedian-1 ||
			*m.StepMsP90 < *m.StepMsP10 || *m.Hits+*m.Misses == 0 || m.UploadMs != nil) {
			t.Errorf("row %d: got %+v", i, m)
		}
	}
	for i, p := range Predict(rows, card) {
		if why[i] == "" {
			if p.Why != nil || p.PredictedMs == nil || *p.PredictedMs <= 0 || *p.Error <= -1 {
				t.Errorf("row %d: got %+v", i, p)
			}
			continue
		}
		if p.Why == nil || !strings.Contains(*p.Why, why[i]) || p.PredictedMs != nil {
			t.Errorf("row %d: got %+v, want a reason with %q", i, p, why[i])
		}
	}
}
