package supervise

import (
	"errors"
	"os"
	"os/exec"
)

// daemonize. C forks and lets the parent go. Go cannot fork a process of several threads, so the program is started
// a second time, with the same arguments, in a session of its own and without a terminal. A mark in the environment
// tells the second that it is the second.

const detachedMark = "BYOR_DETACHED"

// Detached reports whether this process is the one that Detach has started. It answers so once: what the process
// starts in turn is not.
func Detached() bool {
	defer os.Unsetenv(detachedMark)
	return os.Getenv(detachedMark) != ""
}

// Detach starts the program again, with the arguments args, away from the terminal. stdin is what the new process
// reads from its standard input; nil is nothing. Its output goes nowhere. Detach returns as soon as the process has
// been started and has taken its input, as Redis's parent does: it does not wait until the server serves.
func Detach(args []string, stdin []byte) error {
	if !CanDetach {
		return errors.ErrUnsupported
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, args...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), detachedMark+"=1")
	cmd.SysProcAttr = apart()
	var feed *os.File
	if stdin != nil {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		defer w.Close()
		cmd.Stdin, feed = r, w
	}
	err = cmd.Start()
	if feed != nil {
		_ = cmd.Stdin.(*os.File).Close() // so that writing fails if the process has died
	}
	if err != nil {
		return err
	}
	if feed != nil {
		if _, err := feed.Write(stdin); err != nil {
			return err
		}
	}
	return cmd.Process.Release()
}
