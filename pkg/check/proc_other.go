//go:build !unix

package check

import (
	"os/exec"
	"strconv"
	"syscall"
)

// ownGroup does nothing: there are no process groups here.
func ownGroup(*exec.Cmd) {}

// signalGroup ends cmd and its children; Windows knows no other signal for another process.
func signalGroup(cmd *exec.Cmd, _ syscall.Signal) {
	exec.Command("taskkill", "/T", "/F", "/PID", strconv.Itoa(cmd.Process.Pid)).Run()
}
