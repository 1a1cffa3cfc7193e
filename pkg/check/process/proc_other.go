//go:build !unix

package process

import (
	"os/exec"
	"strconv"
	"syscall"
)

// OwnGroup does nothing: there are no process groups here.
func OwnGroup(*exec.Cmd) {}

// SignalGroup ends cmd and its children; Windows knows no other signal for another process.
func SignalGroup(cmd *exec.Cmd, _ syscall.Signal) {
	exec.Command("taskkill", "/T", "/F", "/PID", strconv.Itoa(cmd.Process.Pid)).Run()
}
