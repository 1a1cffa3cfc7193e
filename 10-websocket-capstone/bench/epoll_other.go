//go:build !linux || !(amd64 || arm64)

package main

import "context"

func defaultTransport() func(context.Context, *thread) error { return runGoroutines }
