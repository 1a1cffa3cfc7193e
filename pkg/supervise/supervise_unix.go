//go:build unix

package supervise

import (
	"os"
	"syscall"
)

// CanDetach says whether this system has what Detach needs.
const CanDetach = true

// stopSelf stops the process until somebody sends SIGCONT.
func stopSelf() error { return syscall.Kill(os.Getpid(), syscall.SIGSTOP) }

// apart makes a process the leader of a session without a terminal.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
