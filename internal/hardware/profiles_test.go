package hardware

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every figure of a shipped profile has its source.
func TestProfiles(t *testing.T) {
	for _, name := range ProfileNames() {
		c, err := Open(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, figure := range []string{"read_gb_s", "link_gb_s", "f32_tflops"} {
			if c.Sources[figure] == "" {
				t.Errorf("%s: %s has no source", name, figure)
			}
		}
		if c.Timing != nil && c.Sources["timing"] == "" {
			t.Errorf("%s: timing has no source", name)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.json")
	for text, want := range map[string]string{
		"{":                    "unexpected EOF",
		`{"read_gb_s": 5}`:     "a rate is missing",
		`{"read_gb_s": "5"}`:   "cannot unmarshal",
		`{"link_gb_s": -1e99}`: "a rate is missing",
	} {
		if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v, want one with %q", text, err, want)
		}
	}
	if _, err := Open("h300"); err == nil || !strings.Contains(err.Error(), "h100") {
		t.Errorf("got error %v, want one that lists the profiles", err)
	}
}
