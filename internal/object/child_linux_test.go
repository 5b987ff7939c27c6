package object

import (
	"os/exec"
	"syscall"
)

// dieWithTest ends the child also when the test binary dies without its clean-up.
func dieWithTest(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
