package trace

import (
	"fmt"
	"strings"
)

// Visible writes bytes so that each can be seen: \r \n \t, quotes and backslashes escaped as in a
// Go string, other bytes that are not printable ASCII as \xNN. The result stands in double quotes.
// Well beyond limit bytes (0 is no limit) the middle is replaced by a note of how much was left out.
func Visible(b []byte, limit int) string {
	if limit > 0 && len(b) > limit+len(" …10 bytes… ") {
		head, tail := limit*3/4, limit/4
		return fmt.Sprintf("%s …%d bytes… %s", Visible(b[:head], 0), len(b)-head-tail, Visible(b[len(b)-tail:], 0))
	}
	var sb strings.Builder
	sb.WriteByte('"')
	for _, c := range b {
		switch {
		case c == '\r':
			sb.WriteString(`\r`)
		case c == '\n':
			sb.WriteString(`\n`)
		case c == '\t':
			sb.WriteString(`\t`)
		case c == '"' || c == '\\':
			sb.WriteByte('\\')
			sb.WriteByte(c)
		case c < 0x20 || c >= 0x7f:
			fmt.Fprintf(&sb, `\x%02x`, c)
		default:
			sb.WriteByte(c)
		}
	}
	sb.WriteByte('"')
	return sb.String()
}

// DiffAt returns the index of the first byte in which a and b differ, or -1.
func DiffAt(a, b []byte) int {
	for i := 0; i < len(a) && i < len(b); i++ {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) != len(b) {
		return min(len(a), len(b))
	}
	return -1
}

// ExcerptMax is how many bytes a report shows of something long.
const ExcerptMax = 160

// Excerpt is Visible for b that differs from something at byte at (-1: nowhere): of long data it shows what is
// around that byte, and notes how much it leaves out on either side.
func Excerpt(b []byte, at int) string {
	if len(b) <= ExcerptMax {
		return Visible(b, 0)
	}
	from := max(0, min(at, len(b))-ExcerptMax/4)
	to := min(len(b), from+ExcerptMax/2)
	out := Visible(b[from:to], 0)
	if from > 0 {
		out = fmt.Sprintf("…%d bytes… %s", from, out)
	}
	if to < len(b) {
		out += fmt.Sprintf(" …%d bytes…", len(b)-to)
	}
	return out
}
