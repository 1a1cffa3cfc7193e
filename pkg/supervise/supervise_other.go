//go:build !unix

package supervise

import (
	"errors"
	"syscall"
)

// CanDetach says whether this system has what Detach needs.
const CanDetach = false

func stopSelf() error { return errors.ErrUnsupported }

func apart() *syscall.SysProcAttr { return nil }
