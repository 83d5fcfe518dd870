//go:build race

package main

// raceDetector makes long tests do a part of their work, for it makes them ten times
// slower.
const raceDetector = true
