package report

import (
	"path/filepath"
	"strings"
	"testing"
)

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
