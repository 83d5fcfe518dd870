package report

import (
	"encoding/xml"
	"html"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ufm/bench"
	"ufm/bench/sweep"
)

var (
	numberPattern = regexp.MustCompile(`[0-9][0-9,.]*(?:e[+-]?[0-9]+)?`)
	tagPattern    = regexp.MustCompile(`(?s)<style>.*?</style>|<[^>]*>`)
	// What is no result: the machine (from environment.json), what a preset is about, the
	// published figures, and the paths of plots.
	apart = regexp.MustCompile(`(?sm)<dl class="environment">.*?</dl>|<p class="about">.*?</p>|` +
		`<p class="soft">Published.*?</p>|<table class="published">.*?</table>|` +
		`\| environment \|.*?\n\n?(?:## )|^\| (?:96|144|192) \| [^|\n]* \| [^|\n]* \| [^|\n]* \| [^|\n]* \|$|!\[[^\n]*|Published for[^\n]*|` +
		`\| experts \| bank \| resident [^\n]*`)
	wordsWithDigits = strings.NewReplacer("16-bit", "", "step ms p10", "", "step ms p90", "")
)

// invented are the numbers of a report that no row has.
func invented(text string, r results, about []string) []string {
	known := map[string]bool{}
	learn(known, r.rows)
	return strangers(text, known, about)
}

func learn(known map[string]bool, rows []bench.Row) {
	for _, r := range rows {
		for _, c := range bench.Columns() {
			for _, n := range numberPattern.FindAllString(r.Show(c), -1) {
				known[strings.TrimRight(n, ".,")] = true
			}
		}
	}
}

// strangers are the numbers of a text that are not known.
func strangers(text string, known map[string]bool, about []string) []string {
	text = apart.ReplaceAllString(text, " ")
	text = html.UnescapeString(tagPattern.ReplaceAllString(text, " "))
	for _, a := range about {
		text = strings.ReplaceAll(text, a, "")
	}
	var wrong []string
	for _, n := range numberPattern.FindAllString(wordsWithDigits.Replace(text), -1) {
		if n = strings.TrimRight(n, ".,"); !known[n] {
			wrong = append(wrong, n)
		}
	}
	return wrong
}

func TestEveryNumberIsARows(t *testing.T) {
	presets := sweep.PresetNames()
	r, err := load(newFolder(t, presets...))
	if err != nil {
		t.Fatal(err)
	}
	r.model()
	texts, err := r.texts([]figure{{Name: "seed-memory", Title: "a plot", inPreset: "seed"}})
	if err != nil {
		t.Fatal(err)
	}
	var about []string
	for _, p := range presets {
		about = append(about, sweep.About(p))
	}
	for _, name := range []string{HTMLFile, MarkdownFile} {
		text := texts[name]
		if wrong := invented(string(text), r, about); len(wrong) > 0 {
			t.Errorf("%s: no row has %.20q", name, wrong)
		}
		if n := strings.Count(string(text), r.rows[0].Show("tokens_per_s")); n < 2 {
			t.Errorf("%s: the first row's speed stands there %d times, want it in words and in the table", name, n)
		}
		doctored := strings.Replace(string(text), r.rows[0].Show("tokens_per_s"), "987,654.3", 1)
		if wrong := invented(doctored, r, about); len(wrong) != 1 || wrong[0] != "987,654.3" {
			t.Errorf("%s: the check finds %q in a doctored report", name, wrong)
		}
		// A modeled figure is in no row either.
		i := slices.IndexFunc(r.modeled, func(m bench.Row) bool { return m.Status == bench.StatusOK })
		modeled := r.modeled[i].Show("tokens_per_s")
		doctored = strings.Replace(string(text), r.rows[0].Show("tokens_per_s"), modeled, 1)
		if wrong := invented(doctored, r, about); len(wrong) != 1 || wrong[0] != modeled {
			t.Errorf("%s: the check finds %q where a modeled speed was put among measured ones", name, wrong)
		}
	}
}

// Modeled rows are beside the measured ones, line by line, and never among them.
func TestModeled(t *testing.T) {
	dir := newFolder(t, "seed")
	if err := Write(dir); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, ModeledFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	modeled, err := bench.ReadRows(f, ModeledFile)
	if err != nil {
		t.Fatal(err)
	}
	r, err := load(dir)
	if err != nil || len(modeled) != len(r.rows) {
		t.Fatalf("%d modeled rows for %d measured ones (%v)", len(modeled), len(r.rows), err)
	}
	for i, m := range modeled {
		row := r.rows[i]
		if m.Kind != bench.Modeled || m.Mode != row.Mode || m.Experts != row.Experts {
			t.Errorf("line %d: %s %s with %d experts beside %s with %d",
				i+1, m.Kind, m.Mode, m.Experts, row.Mode, row.Experts)
		}
		predictable := row.Status == bench.StatusOK && row.Mode != "naive"
		if predictable != (m.StepMsMedian != nil) || predictable == (m.Error != nil) {
			t.Errorf("line %d, %s: step %s ms, error %s", i+1, m.Mode, m.Show("step_ms_median"), m.Show("error"))
		}
		if predictable && *m.ModelErrorFraction != *m.StepMsMedian / *row.StepMsMedian - 1 {
			t.Errorf("line %d: error %g", i+1, *m.ModelErrorFraction)
		}
	}
	writeRows(t, dir, modeled)
	if err := Write(dir); err == nil || !strings.Contains(err.Error(), "kind modeled among measured") {
		t.Errorf("modeled rows as rows.jsonl: got %v", err)
	}
}

// All files are there, plots are well-formed, and the page loads nothing from outside.
func TestFiles(t *testing.T) {
	dir := newFolder(t, "seed", "budget", "batch", "policy", "layers")
	if err := Write(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"seed-throughput", "seed-memory", "seed-roofline", "seed-time", "seed-prediction",
		"budget-hits", "budget-budget", "batch-tokens", "policy-choices", "layers-layers",
	} {
		for _, suffix := range []string{".svg", ".png", "-dark.svg"} {
			text, err := os.ReadFile(filepath.Join(dir, "plots", name+suffix))
			if err != nil || len(text) < 1000 {
				t.Errorf("%s%s: %d bytes, %v", name, suffix, len(text), err)
			} else if strings.HasSuffix(suffix, "svg") {
				wellFormed(t, name+suffix, string(text))
			}
		}
	}
	page, err := os.ReadFile(filepath.Join(dir, HTMLFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, outside := range []string{"http:", "https:", "src=\"//", "@import", "<script", "ZgotmplZ"} {
		if strings.Contains(string(page), outside) {
			t.Errorf("the page has %q", outside)
		}
	}
	if !strings.Contains(string(page), "RTX 4090") || !strings.Contains(string(page), "21,174") {
		t.Error("the published figures are missing")
	}
}

func wellFormed(t *testing.T, name, text string) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := d.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

// A sweep that was interrupted has a report, too, which says so.
func TestIncomplete(t *testing.T) {
	dir := newFolder(t, "seed")
	r, err := load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1} {
		writeRows(t, dir, r.rows[:n])
		if err := Write(dir); err != nil {
			t.Fatalf("%d rows: %v", n, err)
		}
		page, err := os.ReadFile(filepath.Join(dir, HTMLFile))
		if err != nil || !strings.Contains(string(page), "Not complete") {
			t.Errorf("%d rows: the page does not say that it is not complete (%v)", n, err)
		}
	}
	if err := Write(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no folder of ufm bench") {
		t.Errorf("an empty folder: got %v", err)
	}
}

// A single value makes an axis without length, also one below 1 on a logarithm.
func TestOneValue(t *testing.T) {
	dir := newFolder(t, "seed", "batch")
	r, err := load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range r.rows {
		row := r.rows[0]
		row.Experts, row.Tokens = r.rows[i].Experts, r.rows[i].Tokens
		row.LimitMs, row.StepMsMedian, row.TokensPerS = new(1e-4), new(1e-4), new(0.5)
		r.rows[i] = row
	}
	writeRows(t, dir, r.rows)
	if err := Write(dir); err != nil {
		t.Fatal(err)
	}
}

func TestGoBench(t *testing.T) {
	dir := newFolder(t, "seed")
	var b strings.Builder
	if err := WriteGoBench(&b, dir, dir); err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`^BenchmarkStep/preset=seed/mode=[a-z]+/\S+ 1 [0-9]+ ns/op [0-9.e+]+ tok/s$`)
	count := 0
	for l := range strings.Lines(b.String()) {
		if strings.HasPrefix(l, "Benchmark") {
			count++
			if !line.MatchString(strings.TrimSpace(l)) {
				t.Fatalf("no line of a benchmark: %q", l)
			}
		}
	}
	if want := 2 * 11 * 20; count != want { // one of twelve cells ran out of memory
		t.Errorf("%d lines, want %d", count, want)
	}
}
