//go:build unix

package server

import (
	"fmt"
	"strings"
	"syscall"
	"time"
)

func (s *Server) infoCPU(b *strings.Builder) {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		return
	}
	sec := func(tv syscall.Timeval) string { return fmt.Sprintf("%.6f", time.Duration(tv.Nano()).Seconds()) }
	fields(b, "used_cpu_sys", sec(ru.Stime), "used_cpu_user", sec(ru.Utime),
		"used_cpu_sys_children", "0.000000", "used_cpu_user_children", "0.000000")
}
