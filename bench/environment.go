package bench

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// environment is what all rows of one run share.
type environment struct {
	runID   string
	timeUTC string
	commit  *string
}

// NewRunID names a run by its time; the rest tells runs of the same second apart.
func NewRunID(now time.Time) string {
	return fmt.Sprintf("%s-%04x", now.UTC().Format("20060102T150405"), rand.Uint32N(1<<16))
}

func newEnvironment(now time.Time, runID string) environment {
	now = now.UTC()
	if runID == "" {
		runID = NewRunID(now)
	}
	return environment{
		runID:   runID,
		timeUTC: now.Format(time.RFC3339),
		commit:  Commit(),
	}
}
