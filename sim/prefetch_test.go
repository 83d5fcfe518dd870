package sim_test

import (
	"bytes"
	"strings"
	"testing"

	"ufm/internal/trace"
	"ufm/sim"
)

// predicted is small with the choices of a gate that is always right.
func predicted() *trace.Trace {
	t := small()
	t.Predicted = t.Chosen
	return t
}

func TestPrefetchers(t *testing.T) {
	tr := predicted()
	shape, groups := sim.Groups(tr)
	for _, c := range []struct {
		spec string
		want string // part of the event log, two slots more than a group needs
	}{
		{"previous", `{"step":2,"layer":0,"phase":"decode","hits":[0],"misses":[[2,`},
		{"frequency", `"prefetches":[[`},
		{"gate", `{"step":1,"layer":1,"phase":"decode","hits":[5,6],"misses":[]`},
		{"oracle", `{"step":1,"layer":0,"phase":"decode","hits":[0,3],"misses":[]`},
		{"oracle:depth=2", `"prefetches":[[`},
		{"oracle:depth=1,accuracy=0", `"prefetches":[[`},
	} {
		logs := make([]string, 2)
		for i := range logs {
			ahead, err := sim.NewPrefetcher(c.spec, tr)
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			r, err := sim.Replay(shape, groups, sim.Options{
				Policy: "lru", Slots: 4, Prefetch: ahead, Log: &b, Seed: 3, Machine: machine(),
			})
			if err != nil {
				t.Fatal(err)
			}
			if s := r.Stats; s.Uploads != s.Misses+s.Prefetches || s.Prefetches == 0 {
				t.Errorf("%s: got %+v", c.spec, s)
			}
			logs[i] = b.String()
		}
		if logs[0] != logs[1] {
			t.Errorf("%s: the same seed gives two logs", c.spec)
		}
		if !strings.Contains(logs[0], c.want) {
			t.Errorf("%s: no %s in\n%s", c.spec, c.want, logs[0])
		}
		if diff, err := sim.CheckTrace(strings.NewReader(logs[0]), tr); diff != nil || err != nil {
			t.Errorf("%s: the log does not check: %v, %v", c.spec, diff, err)
		}
	}
}

// An oracle that is right leaves misses to the first groups alone, and no group later
// than without it where the link has time.
func TestOracleHidesUploads(t *testing.T) {
	shape, groups := decoded(t, tiny)
	groups = groups[:4000]
	replay := func(spec string) sim.Result {
		ahead, err := sim.NewPrefetcher(spec, small())
		if err != nil {
			t.Fatal(err)
		}
		m := machine()
		m.Device.LinkGBs = 1e4
		r, err := sim.Replay(shape, groups, sim.Options{
			Policy: "lru", Slots: 64, Prefetch: ahead, Machine: m,
		})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	off, oracle := replay("off"), replay("oracle")
	if got, most := oracle.Stats.Misses, int64(len(groups[0].Experts)); got > most {
		t.Errorf("the oracle leaves %d misses, want at most %d", got, most)
	}
	if oracle.Times.Total() >= off.Times.Total() {
		t.Errorf("with the oracle %.0f ns, without %.0f", oracle.Times.Total(), off.Times.Total())
	}
	if s := oracle.Stats; s.LateHits > s.PrefetchUsed {
		t.Errorf("%d late hits of %d prefetches used", s.LateHits, s.PrefetchUsed)
	}
}

func TestPrefetcherErrors(t *testing.T) {
	for _, c := range []struct{ spec, want string }{
		{"", "is unknown"},
		{"next", "is unknown"},
		{"gate", `no tensor "predicted"`},
		{"previous:depth=1", "has no parameters"},
		{"oracle:", "no parameter after the colon"},
		{"oracle:depth=0", "depth"},
		{"oracle:depth", "depth"},
		{"oracle:accuracy=1.5", "accuracy"},
		{"oracle:accuracy=NaN", "accuracy"},
		{"oracle:speed=1", `"speed" is unknown`},
	} {
		_, err := sim.NewPrefetcher(c.spec, small())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got error %v, want one with %q", c.spec, err, c.want)
		}
	}
}
