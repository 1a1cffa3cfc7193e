//go:build !linux || !(amd64 || arm64)

package load

func defaultTransport() transport { return runGoroutines }
