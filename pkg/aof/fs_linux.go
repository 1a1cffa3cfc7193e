package aof

import (
	"errors"
	"os"
	"syscall"
)

// datasync is fdatasync(2): the content and the length, but not the times of the
// file. For an append-only file that spares a journal write at every sync.
func datasync(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
