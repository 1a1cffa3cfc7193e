package servers

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// Machine says where the race takes place: figures without that are hearsay.
func Machine() string {
	parts := []string{fmt.Sprintf("%s/%s, %d CPUs", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())}
	if model := fieldOf("/proc/cpuinfo", "model name"); model != "" {
		parts = append(parts, model)
	}
	if kernel, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		parts = append(parts, "kernel "+strings.TrimSpace(string(kernel)))
	}
	return strings.Join(append(parts, "the bench built with "+runtime.Version()), ", ")
}

// fieldOf returns the value of the first line "name : value" of a file, or "".
func fieldOf(path, name string) string {
	b, _ := os.ReadFile(path)
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
