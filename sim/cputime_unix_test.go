//go:build unix

package sim_test

import "syscall"

// cpuSeconds is the processor time that the test used so far: on a machine that others
// use too, it tells more than the time that passed.
func cpuSeconds() float64 {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		return 0
	}
	return float64(use.Utime.Nano()+use.Stime.Nano()) / 1e9
}
