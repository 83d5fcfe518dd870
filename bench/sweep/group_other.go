//go:build !unix

package sweep

import "os/exec"

// apart does nothing: there are no process groups.
func apart(*exec.Cmd) {}
