package aof

import (
	"errors"
	"os"
	"syscall"
)

// startSync is sync_file_range(2): the kernel begins to write what is in its cache, and nobody waits. It promises
// nothing, so its errors tell nothing: the next datasync has them, too.
func startSync(f *os.File) {
	const write = 2 // SYNC_FILE_RANGE_WRITE
	_ = syscall.SyncFileRange(int(f.Fd()), 0, 0, write)
}

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
