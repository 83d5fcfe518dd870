package pagertest_test

import (
	"errors"
	"strings"
	"testing"

	"ufm/pager"
	"ufm/pager/pagertest"
)

func TestFakeRefuses(t *testing.T) {
	up := func(e pager.ExpertID, s pager.Slot, old pager.ExpertID) []pager.Upload {
		return []pager.Upload{{Expert: e, Slot: s, Evicted: old}}
	}
	const free = pager.NoExpert
	for _, c := range []struct {
		name  string
		batch []pager.Upload
		want  string // in the error; "": none
	}{
		{"free slot", up(1, 1, free), ""},
		{"eviction", up(1, 0, 3), ""},
		{"nothing", nil, "empty"},
		{"no such expert", up(4, 1, free), "expert 4 of 4"},
		{"no such slot", up(1, 2, free), "slot 2 of 2"},
		{"slot -1", up(1, -1, free), "slot -1 of 2"},
		{"resident already", up(3, 1, free), "it is in slot 0"},
		{"another victim", up(1, 0, 2), "holds expert 3, the upload says 2"},
		{"no victim", up(1, 0, free), "holds expert 3, the upload says -1"},
	} {
		fake := pagertest.NewFake(pager.Shape{Layers: 1, Experts: 4}, 2)
		if err := fake.Upload(up(3, 0, free), false); err != nil {
			t.Fatal(err)
		}
		err := fake.Upload(c.batch, true)
		if c.want == "" && err != nil ||
			c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got error %v, want one with %q", c.name, err, c.want)
		}
	}
}

func TestFakeFails(t *testing.T) {
	fake := pagertest.NewFake(pager.Shape{Layers: 1, Experts: 4}, 2)
	fake.Err = errors.New("broken")
	if err := fake.Upload([]pager.Upload{{}}, false); !errors.Is(err, fake.Err) {
		t.Errorf("got error %v, want %v", err, fake.Err)
	}
}
