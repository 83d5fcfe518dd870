package vk

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChooseDevice(t *testing.T) {
	all := []candidate{
		{info: DeviceInfo{Index: 0, Name: "llvmpipe (LLVM 15)", Kind: kindCPU}},
		{info: DeviceInfo{Index: 1, Name: "Intel UHD 630", Kind: kindIntegrated}},
		{info: DeviceInfo{Index: 2, Name: "NVIDIA RTX 4090", Kind: kindDiscrete}},
		{info: DeviceInfo{Index: 3, Name: "NVIDIA H100", Kind: kindDiscrete}},
		{info: DeviceInfo{Index: 4, Name: "Old Card", Kind: kindDiscrete}, missing: "timelineSemaphore"},
	}
	for _, test := range []struct {
		name string
		all  []candidate
		want string
		got  int
	}{
		{"best", all, "", 2},
		{"incomplete is worse than slow", []candidate{all[4], all[0]}, "", 1},
		{"index", all, "1", 1},
		{"number in a name", all, "4090", 2},
		{"part", all, "h100", 3},
		{"first of two", all, "nvidia", 2},
		{"any case", all, "LLVMPIPE", 0},
	} {
		got, err := chooseDevice(test.all, test.want)
		if err != nil || got != test.got {
			t.Errorf("%s: got %d, %v, want %d", test.name, got, err, test.got)
		}
	}
	for _, want := range []string{"radeon", "5", "-1"} {
		_, err := chooseDevice(all, want)
		if !errors.Is(err, ErrNoDevice) || !strings.Contains(err.Error(), `3 "NVIDIA H100"`) ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want ErrNoDevice with it and a list", want, err)
		}
	}
	var missing *MissingFeatureError
	if _, err := chooseDevice(all, "old"); !errors.As(err, &missing) ||
		missing.Feature != "timelineSemaphore" || missing.Device != "Old Card" {
		t.Errorf("incomplete: got %v, want the feature named", err)
	}
	if _, err := chooseDevice(all[4:], ""); !errors.As(err, &missing) {
		t.Errorf("only incomplete: got %v, want the feature named", err)
	}
	if _, err := chooseDevice(nil, ""); !errors.Is(err, ErrNoDevice) {
		t.Errorf("none: got %v, want ErrNoDevice", err)
	}
}

func TestChooseQueues(t *testing.T) {
	nvidia := []QueueFamily{
		{Index: 0, Count: 16, Graphics: true, Compute: true, Transfer: true, TimestampBits: 64},
		{Index: 1, Count: 2, Transfer: true, TimestampBits: 64},
		{Index: 2, Count: 8, Compute: true, Transfer: true, TimestampBits: 64},
		{Index: 3, Count: 1, Transfer: true, TimestampBits: 32, media: true},
	}
	amd := []QueueFamily{
		{Index: 0, Count: 1, Graphics: true, Compute: true, Transfer: true, TimestampBits: 64},
		{Index: 1, Count: 4, Compute: true, Transfer: true}, // no timestamps
		{Index: 2, Count: 1, Transfer: true, media: true},
		{Index: 3, Count: 1, Transfer: true},
	}
	lavapipe := nvidia[:1]
	for _, test := range []struct {
		name     string
		families []QueueFamily
		single   bool
		want     queuePlan
	}{
		{"own families", nvidia, false, queuePlan{compute: 2, transfer: 1, transfers: 2}},
		{"told to use one", nvidia, true, queuePlan{compute: 2, transfer: -1}},
		{"timestamps first", amd, false, queuePlan{compute: 0, transfer: 3, transfers: 1}},
		{"one family", lavapipe, false, queuePlan{compute: 0, transfer: -1}},
	} {
		got, ok := chooseQueues(test.families, test.single)
		if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(queuePlan{})); !ok || diff != "" {
			t.Errorf("%s: ok %v (-want +got)\n%s", test.name, ok, diff)
		}
	}
	if _, ok := chooseQueues([]QueueFamily{{Count: 1, Transfer: true}}, false); ok {
		t.Error("no compute: got a plan")
	}
}
