package pager_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"ufm/pager"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

const goldenLog = `{"version":1,"shape":{"layers":2,"experts":4,"top_k":2},"policy":"lru","slots":2,"order":"resident-first","seed":42}
{"step":0,"layer":0,"phase":"prefill","hits":[],"misses":[[0,0,-1],[1,1,-1]]}
{"step":0,"layer":1,"phase":"prefill","hits":[4],"misses":[],"prefetches":[[4,0,0,1],[5,1,1,1],[6,-1,-1,1]]}
{"step":1,"layer":0,"phase":"decode","hits":[],"misses":[[2,1,5]],"prefetches":[[4,0,4,2]]}
`

func TestLogGolden(t *testing.T) {
	var b bytes.Buffer
	var log *pager.Log
	p, err := pager.New(pager.Options{
		Shape: small, Slots: 2, Policy: newPolicy(t, "lru", small, 2),
		Observe: func(ev *pager.Event) { log.Observe(ev) },
	})
	if err != nil {
		t.Fatal(err)
	}
	log = pager.NewLog(&b, p.Header(42))
	request(t, p, 0, 0, 1)
	prefetch(t, p, 4, 5, 6)
	request(t, p, 1, 4)
	prefetch(t, p, 4)
	plan, err := p.Request(pager.Group{
		Step: 1, Phase: pager.Decode, Experts: []pager.ExpertID{2},
	})
	if err != nil || plan.Seq != 2 {
		t.Fatalf("last group: got number %d and error %v, want 2 and none", plan.Seq, err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(goldenLog, b.String()); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func TestLogRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t)
		policy, err := pager.NewPolicy("nextuse", s.shape, s.slots)
		if err != nil {
			t.Fatal(err)
		}
		rec := s.run(t, policy, pager.ResidentFirst)
		var b bytes.Buffer
		header := pager.LogHeader{
			Version: pager.LogVersion, Shape: s.shape, Policy: policy.Name(), Slots: s.slots,
			Order: "resident-first", Seed: rapid.Uint64().Draw(t, "seed"),
		}
		log := pager.NewLog(&b, header)
		for i := range rec.events {
			log.Observe(&rec.events[i])
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		gotHeader, got, err := readAll(&b)
		if err != nil {
			t.Fatal(err)
		}
		if gotHeader != header {
			t.Fatalf("header: got %+v, want %+v", gotHeader, header)
		}
		if diff := cmp.Diff(rec.events, got.events, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("events (-want +got):\n%s", diff)
		}
	})
}

func readAll(r io.Reader) (pager.LogHeader, *recording, error) {
	log, err := pager.ReadLog(r)
	if err != nil {
		return pager.LogHeader{}, nil, err
	}
	rec := &recording{}
	for {
		ev, err := log.Next()
		if err == io.EOF {
			return log.Header(), rec, nil
		}
		if err != nil {
			return log.Header(), rec, err
		}
		rec.observe(ev)
	}
}

// full is a writer with room for n bytes.
type full struct{ n int }

var errFull = errors.New("disk is full")

func (f *full) Write(b []byte) (int, error) {
	f.n -= len(b)
	if f.n < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestLogReportsWriteErrors(t *testing.T) {
	for _, room := range []int{0, 100000} {
		log := pager.NewLog(&full{room}, pager.LogHeader{})
		for range 10000 {
			log.Observe(&pager.Event{Hits: []pager.ExpertID{1, 2, 3}})
		}
		if err := log.Close(); !errors.Is(err, errFull) {
			t.Errorf("room for %d bytes: got error %v, want %v", room, err, errFull)
		}
	}
}

func TestLogDoesNotAllocate(t *testing.T) {
	log := pager.NewLog(io.Discard, pager.LogHeader{})
	ev := &pager.Event{
		Hits:   []pager.ExpertID{1, 2, 3},
		Misses: []pager.Upload{{Expert: 4, Slot: 5, Evicted: pager.NoExpert}},
	}
	log.Observe(ev)
	if got := testing.AllocsPerRun(100, func() { log.Observe(ev) }); got != 0 {
		t.Errorf("got %v allocations an event, want 0", got)
	}
}

func TestReadLogErrors(t *testing.T) {
	header, rest, _ := strings.Cut(goldenLog, "\n")
	event, _, _ := strings.Cut(rest, "\n")
	with := func(old, new string) string {
		if !strings.Contains(goldenLog, old) {
			t.Fatalf("the golden log has no %q", old)
		}
		return strings.Replace(goldenLog, old, new, 1)
	}
	for _, c := range []struct {
		name, log, want string
	}{
		{"empty", "", "empty, want a header"},
		{"no JSON", "step,layer\n", "line 1: "},
		{"another version", with(`"version":1`, `"version":2`), "line 1: version 2, want 1"},
		{"no shape", with(`"layers":2`, `"layers":0`), "line 1: pager: shape: 0 layers"},
		{"no slots", with(`"slots":2`, `"slots":0`), "line 1: pager: slots: 0"},
		{"order", with(`"resident-first"`, `"any"`), `line 1: order "any"`},
		{"unknown field", with(`"seed"`, `"sead"`), `line 1: json: unknown field "sead"`},
		{"cut off", header + "\n" + event, "line 2: the line is cut off"},
		{"empty line", header + "\n\n" + event + "\n", "line 2: the line is empty"},
		{"two objects", header + "\n" + event + event + "\n", "line 2: the line goes on"},
		{"no layer", with(`"layer":0,`, ``), "line 2: no step or no layer"},
		{"layer", with(`"layer":1`, `"layer":2`), "line 3: layer 2, want 0 to 1"},
		{"phase", with(`"decode"`, `"dec"`), `line 4: phase "dec"`},
		{"hit", with(`"hits":[4]`, `"hits":[8]`), "line 3: hit: expert 8, want 0 to 7"},
		{"miss", with(`[0,0,-1]`, `[0,0]`), "line 2: miss [0 0]: 2 numbers, want 3"},
		{"slot", with(`[0,0,-1]`, `[0,2,-1]`), "line 2: miss [0 2 -1]: slot 2 of 2"},
		{"victim", with(`[2,1,5]`, `[2,1,-2]`), "line 4: miss [2 1 -2]: evicted: expert -2"},
		{"prefetch", with(`[5,1,1,1]`, `[5,1,1]`), "line 3: prefetch [5 1 1]: 3 numbers, want 4"},
		{"fraction", with(`[5,1,1,1]`, `[5,1,1.5,1]`), "line 3: json: "},
	} {
		_, _, err := readAll(strings.NewReader(c.log))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want one with %q", c.name, err, c.want)
		}
	}
}

func FuzzReadLog(f *testing.F) {
	f.Add([]byte(goldenLog))
	f.Add([]byte(strings.Replace(goldenLog, "[5,1,1,1]", "[5,1]", 1)))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		header, rec, err := readAll(bytes.NewReader(data))
		if err != nil {
			return
		}
		// What was read must survive being written.
		var b bytes.Buffer
		log := pager.NewLog(&b, header)
		for i := range rec.events {
			log.Observe(&rec.events[i])
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		again, rec2, err := readAll(&b)
		if err != nil {
			t.Fatal(err)
		}
		diff := cmp.Diff(rec.events, rec2.events, cmpopts.EquateEmpty())
		if again != header || diff != "" {
			t.Errorf("header %+v became %+v; events (-want +got):\n%s", header, again, diff)
		}
	})
}
