package supervise

import (
	"syscall"
	"time"
	"unsafe"
)

// monotonic returns CLOCK_MONOTONIC. Go's own monotonic readings begin at the process's start, and systemd's do not.
func monotonic() time.Duration {
	const clockMonotonic = 1
	var ts syscall.Timespec
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&ts)), 0); errno != 0 {
		return 0
	}
	return time.Duration(ts.Nano())
}
