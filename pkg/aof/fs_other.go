//go:build !linux

package aof

import "os"

// datasync is a full fsync where fdatasync is not to be had.
func datasync(f *os.File) error { return f.Sync() }

// startSync does nothing: it only makes datasync quicker.
func startSync(*os.File) {}
