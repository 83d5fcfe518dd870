//go:build unix

package sweep

import (
	"os/exec"
	"syscall"
)

// apart puts a child into a process group of its own. Ctrl-C at a terminal, and timeout,
// signal a whole group: a child that ends before its parent knows why would be a cell that
// crashed. It ends with its parent anyway, when its standard input does.
func apart(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
