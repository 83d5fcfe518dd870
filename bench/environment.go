package bench

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"
)

// environment is what all rows of one run share.
type environment struct {
	runID   string
	timeUTC string
	commit  *string
}

func newEnvironment(now time.Time) environment {
	now = now.UTC()
	return environment{
		runID:   fmt.Sprintf("%s-%04x", now.Format("20060102T150405"), rand.Uint32N(1<<16)),
		timeUTC: now.Format(time.RFC3339),
		commit:  commit(),
	}
}

// commit is the revision that this binary was built from, if the go command stamped it.
func commit() *string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	revision := settings["vcs.revision"]
	if revision == "" {
		return nil
	}
	if settings["vcs.modified"] == "true" {
		revision += "+modified"
	}
	return &revision
}
