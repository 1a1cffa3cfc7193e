//go:build !unix

package server

import "strings"

func (s *Server) infoCPU(b *strings.Builder) {
	fields(b, "used_cpu_sys", "0.000000", "used_cpu_user", "0.000000")
}
