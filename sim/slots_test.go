package sim_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ufm/sim"
)

func TestParseSlots(t *testing.T) {
	for _, c := range []struct {
		list     string
		universe int
		want     []int
		note     string
	}{
		{"96", 1000, []int{96}, ""},
		{"25%", 1000, []int{250}, ""},
		{"32.3%", 1000, []int{323}, ""}, // in floating point 322
		{"0.01%", 1000, []int{1}, ""},
		{"100%", 7, []int{7}, ""},
		{"64-1024*2", 5000, []int{64, 128, 256, 512, 1024}, ""},
		{"64-1000*2", 5000, []int{64, 128, 256, 512}, ""},
		{"1-6*1.01", 5000, []int{1, 2, 3, 4, 5, 6}, ""},
		{"10-40*1.5", 5000, []int{10, 15, 22, 33}, ""},
		{"5%-50%*2", 100, []int{5, 10, 20, 40}, ""},
		{"5-5*2", 100, []int{5}, ""},
		{"96, 25%,96,1", 384, []int{1, 96}, ""},
		{"200", 128, []int{128}, "slots 200: the bank has 128 experts"},
		{"64-1024*2", 300, []int{64, 128, 256}, "slots 64-1024*2: the bank has 300 experts"},
		{"120%", 100, []int{100}, "slots 120%: the bank has 100 experts"},
	} {
		got, notes, err := sim.ParseSlots(c.list, c.universe)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s of %d: error %v (-want +got):\n%s", c.list, c.universe, err, diff)
		}
		if note := strings.Join(notes, "|"); !strings.HasPrefix(note, c.note) || c.note == "" && note != "" {
			t.Errorf("%s of %d: got note %q, want %q", c.list, c.universe, note, c.note)
		}
	}
}

func TestParseSlotsErrors(t *testing.T) {
	for _, c := range []struct{ list, want string }{
		{"", "a size is empty"},
		{"96,", "a size is empty"},
		{"0", `size "0": want at least 1`},
		{"0%", "want more than nothing"},
		{"-5", "want at least 1"},
		{"ten", `size "ten"`},
		{"1e3", `size "1e3"`},
		{"1/3%", `"1/3" is not a plain number`},
		{"64-1024", "want the factor between sizes"},
		{"64-1024*1", "above 1"},
		{"64-1024*0.5", "above 1"},
		{"64-*2", "a size is empty"},
		{"1024-64*2", "ends below its start"},
		{"99999999999999999999", "want a whole number"},
		{"1-99999999*1.000000001", "more than 65536 sizes"},
	} {
		_, _, err := sim.ParseSlots(c.list, 1<<30)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got error %v, want one with %q", c.list, err, c.want)
		}
	}
}

func FuzzParseSlots(f *testing.F) {
	for _, list := range []string{"96,25%,64-1024*2", "", "0", "1-9*1.1", "7%-9%*3"} {
		f.Add(list, 384)
	}
	f.Fuzz(func(t *testing.T, list string, universe int) {
		if universe < 1 || universe > 1<<20 {
			return
		}
		sizes, _, err := sim.ParseSlots(list, universe)
		if err == nil && len(sizes) == 0 {
			t.Fatalf("%q: no size and no error", list)
		}
		for i, n := range sizes {
			if n < 1 || n > universe || i > 0 && n <= sizes[i-1] {
				t.Fatalf("%q of %d: got %v", list, universe, sizes)
			}
		}
	})
}

func TestParsePolicies(t *testing.T) {
	for _, c := range []struct {
		list string
		want []string
	}{
		{"lru", []string{"lru"}},
		{"random:seed=3,lru", []string{"random:seed=3", "lru"}},
		{"lru,nextuse:window=5,published", []string{"lru", "nextuse:window=5", "published"}},
		{"belady,lru", []string{"belady", "lru"}},
	} {
		got, err := sim.ParsePolicies(c.list, false)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: error %v (-want +got):\n%s", c.list, err, diff)
		}
	}
	for _, c := range []struct {
		list string
		flat bool
		want string
	}{
		{"", false, "is empty"},
		{"lru,,fifo", false, "is empty"},
		{"lur", false, `policy "lur" is unknown`},
		{"lru,window=5", false, `policy "window=5" is unknown`},
		{"nextuse:window=5,other=3", false, "parameter other is unknown"},
		{"nextuse:window=0", false, "parameter window"},
		{"lru,all", false, "lru is named twice"},
		{"published", true, "needs groups"},
		{"lru,min", false, "single accesses"},
	} {
		_, err := sim.ParsePolicies(c.list, c.flat)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got error %v, want one with %q", c.list, err, c.want)
		}
	}
	for _, flat := range []bool{false, true} {
		all, err := sim.ParsePolicies("all", flat)
		if err != nil || len(all) < 10 {
			t.Errorf("all: got %v, %v", all, err)
		}
	}
}

// TestParseSlotsOfManySteps: the digits of a range's sizes do not grow with its steps.
func TestParseSlotsOfManySteps(t *testing.T) {
	start := time.Now()
	sizes, _, err := sim.ParseSlots("1-1048576*1.0003", 1<<20)
	if err != nil || len(sizes) < 10000 || sizes[len(sizes)-1] > 1<<20 {
		t.Fatalf("got %d sizes, %v", len(sizes), err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	whole, _, err := sim.ParseSlots("64-1000000*1.5", 1<<20)
	if err != nil || whole[1] != 96 || whole[2] != 144 || whole[3] != 216 {
		t.Errorf("64-1000000*1.5: got %v, %v", whole[:4], err)
	}
}
