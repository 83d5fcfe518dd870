package report

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ufm/bench"
)

// TestFillText takes its figures from the rows of a whole model.
func TestFillText(t *testing.T) {
	dir := t.TempDir()
	var rows []bench.TextRow
	for i, slots := range []int{8, 8, 64, 64} {
		speed, part := float64(100*(i+1)), 0.25*float64(i+1)
		r := bench.TextRow{HitRate: &part, ChainFraction: &part}
		r.Model, r.DType, r.Device, r.Slots, r.TokensPerS = "a-model", "bf16", "Card 7", slots, &speed
		rows = append(rows, r)
	}
	var b bytes.Buffer
	if err := bench.WriteText(&b, "jsonl", rows); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "rows.jsonl"), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := Fill("<!-- results: rows.jsonl text -->\n<!-- end of results -->\n", dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| 64, 0 B | 300 | - | - | 400 | 100 % | - | - | 100 % |\n| 8, 0 B | 100 |", "a-model, bf16; Card 7",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}

func TestFill(t *testing.T) {
	dir := newFolder(t, "seed")
	root, name := filepath.Split(dir)
	text := "before\n<!-- results: " + name + " seed -->\nold 12345\n<!-- end of results -->\nafter 1\n"
	got, err := Fill(text, root)
	if err != nil {
		t.Fatal(err)
	}
	r, err := load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"before\n<!-- results: " + name + " seed -->\n| experts, bank | baseline | naive | published | ufm | limit | of limit |\n",
		"| 192, 24 GiB | out of memory | ", "| 96, 12 GiB | " + r.rows[0].Show("tokens_per_s") + " |",
		"<!-- end of results -->\nafter 1\n", "Card 7, 2 January 2026",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if strings.Contains(got, "12345") {
		t.Errorf("the old table is still in\n%s", got)
	}
	if again, err := Fill(got, root); err != nil || again != got {
		t.Errorf("filled twice it differs (%v):\n%s", err, again)
	}
	for text, want := range map[string]string{
		"nothing": "no marker",
		"<!-- results: nowhere seed -->\n<!-- end of results -->":       "nowhere",
		"<!-- results: " + name + " fly -->\n<!-- end of results -->\n": "no rows of preset fly",
	} {
		if _, err := Fill(text, root); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q in it", text, err, want)
		}
	}
}
