package bench

import (
	"encoding/csv"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// sampleRows are one row with every figure, and one of a mode that did not fit.
func sampleRows() []Row {
	full := Row{
		Schema: RowSchema, RunID: "20260102T030405-0abc", TimeUTC: "2026-01-02T03:04:05Z",
		Commit: new("0123abcd"), Mode: "ufm", Backend: "vulkan", Device: "Card, fast",
		Driver: "580.1", Status: StatusOK, Model: "synthetic", Layers: 1, Experts: 144,
		DModel: 2048, DHidden: 8192, TopK: 2, Form: "gelu", DType: "f32", Routing: "uniform",
		Tokens: 512, Steps: new(3), Seed: 18446744073709551615, Policy: new("nextuse"),
		Phase: "prefill", BankBytes: 144 << 27, BudgetBytes: 128 << 27, Slots: 128,
		PeakDeviceBytes: new(int64(17 << 30)), NVMLBytes: new(int64(18 << 30)),
		HostBytes: new(int64(144 << 27)), Hits: new(int64(384)), LateHits: new(int64(0)),
		Misses: new(int64(48)), Uploads: new(int64(48)), UploadBytes: new(int64(48 << 27)),
		BeladyUploads: new(int64(48)), Prefetches: new(int64(0)), PrefetchUsed: new(int64(0)),
		PrefetchWasted: new(int64(0)), Submits: new(4.5), Waits: new(1.0),
		StepMsMedian: new(43.25), StepMsP10: new(43.0), StepMsP90: new(44.0), StepMsMean: new(43.4),
		TokensPerS: new(11838.15), ComputeMs: new(5.5), UploadMs: new(42.2), StallMs: new(37.0),
		LinkGBs: new(50.9), ReadGBs: new(2900.0), LimitMs: new(42.107), LimitBy: new(byLink),
		LimitFraction: new(0.9736), LinkFraction: new(0.975), ChainMs: new(42.107),
		NMSE: new(2e-13), MaxAbsErr: new(1.5e-6), Kind: "measured",
	}
	oom := full
	oom.Mode, oom.Status, oom.Error = "baseline", StatusOOM, new(`does not fit: "18 GiB"`)
	oom.Commit, oom.Policy, oom.Steps = nil, nil, nil
	oom.PeakDeviceBytes, oom.NVMLBytes, oom.HostBytes = nil, nil, nil
	oom.Hits, oom.LateHits, oom.Misses, oom.Uploads, oom.UploadBytes = nil, nil, nil, nil, nil
	oom.BeladyUploads, oom.Prefetches, oom.PrefetchUsed, oom.PrefetchWasted = nil, nil, nil, nil
	oom.Submits, oom.Waits = nil, nil
	oom.StepMsMedian, oom.StepMsP10, oom.StepMsP90, oom.TokensPerS = nil, nil, nil, nil
	oom.StepMsMean = nil
	oom.ComputeMs, oom.UploadMs, oom.StallMs, oom.LinkGBs, oom.ReadGBs = nil, nil, nil, nil, nil
	oom.LimitMs, oom.LimitBy, oom.LimitFraction = nil, nil, nil
	oom.LinkFraction, oom.ChainMs = nil, nil
	oom.NMSE, oom.MaxAbsErr = nil, nil
	oom.Slots, oom.BudgetBytes = 144, 144<<27
	return []Row{oom, full}
}

func TestWriteGolden(t *testing.T) {
	for _, format := range []string{"table", "json", "jsonl", "csv"} {
		t.Run(format, func(t *testing.T) {
			var b strings.Builder
			if err := Write(&b, format, sampleRows()); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", "rows."+format)
			if *update {
				if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), b.String()); diff != "" {
				t.Errorf("%s differs from %s (-want +got):\n%s", format, file, diff)
			}
		})
	}
}

// The names of all formats and their order are those of the results schema.
func TestColumns(t *testing.T) {
	const schema = `schema run_id time_utc commit mode backend device driver status error
		model layers experts d_model d_hidden top_k form dtype routing tokens steps seed policy phase
		bank_bytes budget_bytes slots peak_device_bytes nvml_bytes host_bytes
		hits late_hits misses uploads upload_bytes belady_uploads
		prefetches prefetch_used prefetch_wasted submits waits
		step_ms_median step_ms_p10 step_ms_p90 step_ms_mean tokens_per_s compute_ms upload_ms stall_ms
		link_gb_s read_gb_s
		limit_ms limit_by limit_fraction link_fraction chain_ms nmse max_abs_err
		model_error_fraction kind`
	if diff := cmp.Diff(strings.Fields(schema), columns()); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
}

func TestUnknownIsNull(t *testing.T) {
	var b strings.Builder
	if err := Write(&b, "json", []Row{{}}); err != nil {
		t.Fatal(err)
	}
	var got []map[string]any
	if err := json.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"commit", "error", "hits", "tokens_per_s", "limit_by", "nmse"} {
		if v, ok := got[0][name]; !ok || v != nil {
			t.Errorf("%s: got %v (there: %v), want null", name, v, ok)
		}
	}
	b.Reset()
	if err := Write(&b, "csv", []Row{{}}); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(strings.NewReader(b.String())).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range lines[0] {
		if name == "hits" && lines[1][i] != "" {
			t.Errorf("csv: unknown hits are %q, want nothing", lines[1][i])
		}
	}
}

func TestWriteNoRows(t *testing.T) {
	for format, want := range map[string]string{
		"json": "[]\n", "jsonl": "", "table": "", "csv": strings.Join(columns(), ",") + "\n",
	} {
		var b strings.Builder
		if err := Write(&b, format, nil); err != nil || b.String() != want {
			t.Errorf("%s: got %q, %v, want %q", format, b.String(), err, want)
		}
	}
}

func TestUnknownFormat(t *testing.T) {
	err := Write(&strings.Builder{}, "xml", nil)
	if err == nil || !strings.Contains(err.Error(), "csv, json, jsonl, table") {
		t.Errorf("got %v, want an error that lists the formats", err)
	}
}
