//go:build unix

package process

import (
	"os/exec"
	"syscall"
)

// OwnGroup makes cmd the leader of a process group, so that its children can be ended with it.
func OwnGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// SignalGroup sends sig to cmd and all its children.
func SignalGroup(cmd *exec.Cmd, sig syscall.Signal) { syscall.Kill(-cmd.Process.Pid, sig) }
