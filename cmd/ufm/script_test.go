package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ufm/vk"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ufm": main})
}

// TestScripts runs testdata/script, a file for each thing that a user may do or get wrong.
//
// Conditions: vulkan (there is a device), cgo (this build could use one), race (the race
// detector is in it, which makes measuring take minutes) and testdata
// (there is data that is not part of the project). What is missing is a failure where
// the environment requires it. $TINY is the built-in checkpoint.
func TestScripts(t *testing.T) {
	vulkan, testdata := hasVulkan(t), testData(t)
	cache := t.TempDir() // shared, so that ceilings are measured once
	tiny, err := filepath.Abs("../../moe/tiny")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("XDG_CACHE_HOME", cache)
			e.Setenv("GORACE", "atexit_sleep_ms=0") // else each command ends a second later
			e.Setenv("TINY", tiny)
			e.Setenv("VECTORS", filepath.Join(testdata, "vectors"))
			return nil
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "vulkan":
				return vulkan, nil
			case "testdata":
				return testdata != "", nil
			case "race":
				return raceDetector, nil
			case "cgo":
				_, err := vk.Devices()
				return !errors.Is(err, vk.ErrNoCgo), nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"cut":      cut,
			"waitsize": waitSize,
			"nll":      sameNLL,
		},
	})
}

func hasVulkan(t *testing.T) bool {
	devices, err := vk.Devices()
	if len(devices) > 0 {
		return true
	}
	if os.Getenv("UFM_VULKAN") == "required" {
		t.Fatalf("Vulkan is required, but there is no device: %v", err)
	}
	t.Logf("SKIPPED: script lines that need Vulkan: %v", err)
	return false
}

// testData is the folder of test data that is not part of the project, or "".
func testData(t *testing.T) string {
	dir := os.Getenv("UFM_TESTDATA")
	if dir != "" {
		return dir
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("UFM_TESTDATA is not set")
	}
	t.Log("SKIPPED: scripts that need UFM_TESTDATA")
	return ""
}

// cut is the script command "cut FILE": the file loses its second half.
func cut(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: cut FILE")
	}
	path := ts.MkAbs(args[0])
	info, err := os.Stat(path)
	ts.Check(err)
	ts.Check(os.Chmod(path, 0o644))
	ts.Check(os.Truncate(path, info.Size()/2))
}

// waitSize is the script command "waitsize FILE": it waits until the file is not empty.
func waitSize(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitsize FILE")
	}
	for range 600 {
		if info, err := os.Stat(ts.MkAbs(args[0])); err == nil && info.Size() > 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("%s stays empty", args[0])
}

// sameNLL is the script command "nll FILE FILE MOST": what ufm perplexity printed into the
// two differs by at most MOST.
func sameNLL(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: nll FILE FILE MOST")
	}
	var scores [2]struct {
		NLL    float64
		Tokens int
	}
	for i := range scores {
		ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[i])), &scores[i]))
	}
	most, err := strconv.ParseFloat(args[2], 64)
	ts.Check(err)
	if math.Abs(scores[0].NLL-scores[1].NLL) > most || scores[0].Tokens != scores[1].Tokens {
		ts.Fatalf("%+v and %+v", scores[0], scores[1])
	}
}
