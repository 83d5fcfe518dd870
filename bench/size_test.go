package bench

import (
	"fmt"
	"strings"
	"testing"

	"ufm/moe"
)

func TestParseSize(t *testing.T) {
	for in, want := range map[string]int64{
		"1": 1, "4096": 4096, "16GiB": 16 << 30, "16GB": 16e9, "16 gib": 16 << 30,
		"23.5GiB": 47 << 29, "1.5kB": 1500, "8EB": 8e18, "9223372036854775807": 1<<63 - 1,
	} {
		if got, err := ParseSize(in); err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", in, got, err, want)
		}
	}
}

func TestParseSizeRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":                    "empty",
		"0":                   "zero",
		"0GiB":                "zero",
		"0.1":                 "zero",
		"-1GiB":               "negative",
		"9223372036854775808": "overflows",
		"8EiB":                "overflows",
		"99999999999EiB":      "overflows",
		"16GX":                "not a size",
		"GiB":                 "not a size",
		"lots":                "not a size",
		"nan":                 "not a size",
		"1e3":                 "not a size",
		"0x10":                "not a size",
	} {
		got, err := ParseSize(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %d, %v, want an error with %q", in, got, err, want)
		}
	}
}

func TestParseBudget(t *testing.T) {
	for in, want := range map[string]Budget{
		"auto": {}, "16GiB": {Bytes: 16 << 30}, "50%": {Percent: 50}, "0.5%": {Percent: 0.5},
		"100%": {Percent: 100},
	} {
		if got, err := ParseBudget(in); err != nil || got != want {
			t.Errorf("%q: got %+v, %v, want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "0", "0%", "-5%", "101%", "nan%", "inf%", "%", "x%", "half"} {
		if got, err := ParseBudget(in); err == nil {
			t.Errorf("%q is a budget: %+v", in, got)
		}
	}
}

func TestSlots(t *testing.T) {
	s := moe.Shape{Layers: 2, Experts: 50, DModel: 8, DHidden: 8, TopK: 1} // 512 bytes each
	for _, c := range []struct {
		name   string
		budget Budget
		free   int64
		want   int
	}{
		{"whole slots", Budget{Bytes: 10 * 512}, 0, 10},
		{"rounded down", Budget{Bytes: 11*512 - 1}, 0, 10},
		{"one", Budget{Bytes: 512}, 0, 1},
		{"at most the bank", Budget{Bytes: 1 << 40}, 0, 100},
		{"percent", Budget{Percent: 29}, 0, 29},
		{"percent rounded down", Budget{Percent: 33.9}, 0, 33},
		{"percent of a decimal", Budget{Percent: 0.7}, 0, 1},
		{"at least one", Budget{Percent: 0.1}, 0, 1},
		{"all", Budget{Percent: 100}, 0, 100},
		{"free", Budget{}, 7 * 512, 7},
		{"all free", Budget{}, 1 << 40, 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.budget.Slots(s, c.free)
			if err != nil || got != c.want {
				t.Errorf("got %d, %v, want %d", got, err, c.want)
			}
		})
	}
	for _, b := range []Budget{{Bytes: 511}, {}} {
		_, err := b.Slots(s, 100)
		if err == nil || !strings.Contains(err.Error(), "is below one expert of 512 B (512 bytes)") {
			t.Errorf("budget %+v: got %v, want an error that names both sizes", b, err)
		}
	}
}

// TestSlotsOfDecimals: every tenth of a percent of 1000 experts is a whole number of them.
func TestSlotsOfDecimals(t *testing.T) {
	s := moe.Shape{Layers: 2, Experts: 500, DModel: 8, DHidden: 8, TopK: 1}
	for want := 1; want <= 1000; want++ {
		b, err := ParseBudget(fmt.Sprintf("%d.%d%%", want/10, want%10))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := b.Slots(s, 0); err != nil || got != want {
			t.Errorf("%v %% of 1000: got %d, %v, want %d", b.Percent, got, err, want)
		}
	}
}
