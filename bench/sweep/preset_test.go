package sweep

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ufm/moe"
)

func TestPresets(t *testing.T) {
	for _, name := range PresetNames() {
		plan, err := Load([]string{name}, Traces{})
		if err != nil || len(plan.Cells) == 0 {
			t.Errorf("%s: %d cells, %v", name, len(plan.Cells), err)
		}
		for _, c := range plan.Cells {
			if c.Preset != name {
				t.Errorf("%s: cell of preset %q", name, c.Preset)
			}
		}
	}
	if _, err := Load(PresetNames(), Traces{}); err != nil {
		t.Errorf("all at once: %v", err)
	}
}

// The published sweep is what it says, and quick has its ratios.
func TestSeedAndQuick(t *testing.T) {
	for name, divisor := range map[string]int64{"seed": 1, "quick": 256} {
		plan, err := Load([]string{name}, Traces{})
		if err != nil || len(plan.Cells) != 12 {
			t.Fatalf("%s: %d cells, %v", name, len(plan.Cells), err)
		}
		for i, c := range plan.Cells {
			r, err := c.expect(nil)
			if err != nil {
				t.Fatal(err)
			}
			if want := []int{96, 144, 192}[i/4]; r.Experts != want || r.Tokens != 512 || r.TopK != 2 {
				t.Errorf("%s: cell %d: %+v", name, i, c)
			}
			if r.BankBytes != int64(r.Experts)<<27/divisor {
				t.Errorf("%s: %d experts are a bank of %d bytes", name, r.Experts, r.BankBytes)
			}
			if r.Mode == "ufm" && r.Slots != min(128, r.Experts) {
				t.Errorf("%s: %d experts have %d slots", name, r.Experts, r.Slots)
			}
		}
	}
}

func TestBadPresets(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"unknown key":    {"[cell]\ntokns = 3\n[[sweep]]", "line 2: unknown key cell.tokns"},
		"unknown axis":   {"[[sweep]]\nbatch = [3]", "line 2: unknown key sweep.batch"},
		"duplicate key":  {"[cell]\ntokens = 3\ntokens = 4\n[[sweep]]", "line 3"},
		"wrong type":     {"[cell]\ntokens = \"many\"\n[[sweep]]", "line 2"},
		"no toml":        {"tokens: 3", "line 1"},
		"no sweep":       {"[cell]\ntokens = 3", "no [[sweep]]"},
		"limit":          {"[cell]\nlimit = \"soon\"\n[[sweep]]", "soon"},
		"negative limit": {"[cell]\nlimit = \"-1s\"\n[[sweep]]", "not above 0"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parsePreset("p", []byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "preset p") {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
	for _, name := range []string{"fly", "", "nowhere.toml"} {
		if _, err := Load([]string{name}, Traces{}); err == nil {
			t.Errorf("preset %q was found", name)
		}
	}
}

// Every impossible cell is told, before anything runs.
func TestImpossibleCells(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mine.toml")
	text := `[[sweep]]
experts = [4]
budget = ["1GiB", "0%"]
mode = ["ufm", "best"]
[[sweep]]
experts = [4]
dtype = ["f8"]
[[sweep]]
experts = [4, 4]
top_k = [5]
policy = ["oracle"]
vram_limit = ["x"]
[[sweep]]
routing = ["trace:there"]`
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	missing := func(string) (*moe.RoutingTrace, error) { return nil, errors.New("no such trace") }
	_, err := Load([]string{file}, Traces{Dir: "x", Open: missing})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`cell 2 (mine: best (-)`, `unknown mode "best"`, `cell 3 (mine: ufm (nextuse)`, `budget "0%"`,
		`unknown dtype "f8"`, "top-k 5 is above the 4 experts", "the same as cell", "no such trace",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "cell 1 ") {
		t.Errorf("cell 1 is possible:\n%v", err)
	}
}

// Without traces the cells that need one are skipped, and nothing else.
func TestSkippedWithoutTraces(t *testing.T) {
	o := smallOptions(t)
	o.Plan.Cells = o.Plan.Cells[:3]
	o.Plan.Cells[1].Routing = "trace:some.csv"
	rows, err := Run(t.Context(), o, quiet{})
	if err != nil || len(rows) != 3 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	r := rows[1]
	if r.Status != "skipped" || r.Routing != "trace:some.csv" || !strings.Contains(*r.Error, "some.csv") {
		t.Errorf("got %s, %s: %s", r.Status, r.Routing, r.Show("error"))
	}
	if rows[0].Status != "ok" || rows[2].Status != "ok" {
		t.Errorf("its neighbours: %s, %s", rows[0].Status, rows[2].Status)
	}
}
