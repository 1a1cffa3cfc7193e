package commands

import (
	"byor/pkg/engine"
	"byor/pkg/store"
)

// lcsOptions are those of LCS.
type lcsOptions struct {
	length, idx, withLen bool
	minMatch             int64
}

func parseLcs(c *engine.Call) (o lcsOptions, ok bool) {
	for i := 3; i < len(c.Args); i++ {
		switch {
		case c.Is(i, "len"):
			o.length = true
		case c.Is(i, "idx"):
			o.idx = true
		case c.Is(i, "withmatchlen"):
			o.withLen = true
		case c.Is(i, "minmatchlen") && i+1 < len(c.Args):
			i++
			if o.minMatch, ok = c.IntArg(i); !ok {
				return o, false
			}
			o.minMatch = max(0, o.minMatch)
		default:
			c.Fail(engine.ErrSyntax)
			return o, false
		}
	}
	if o.length && o.idx {
		c.Fail("ERR If you want both the length and indexes, please just use IDX.")
		return o, false
	}
	return o, true
}

// cmdLcs finds the longest common subsequence of two strings with the table of the textbook,
// which takes 4 bytes for each pair of bytes.
func cmdLcs(c *engine.Call) {
	var s [2][]byte
	for i := range s {
		v, err := store.Get[*store.String](c.DB, c.Args[1+i])
		if err != nil {
			c.Fail("ERR The specified keys must contain string values")
			return
		}
		if c.Found(c.Args[1+i], v != nil) {
			s[i] = v.View()
		}
	}
	o, ok := parseLcs(c)
	if !ok {
		return
	}
	a, b := s[0], s[1]
	if uint64(len(a)+1)*uint64(len(b)+1) > 1<<30 {
		c.Fail("ERR Insufficient memory, failed allocating transient memory for LCS")
		return
	}
	t := lcsTable(a, b)
	n := len(b) + 1
	total := t[len(a)*n+len(b)]
	if o.length {
		c.Reply.Int(int64(total))
		return
	}
	common, matches := lcsWalk(a, b, t, o)
	if !o.idx {
		c.Reply.Bulk(common)
		return
	}
	c.Reply.Map(2)
	c.Reply.BulkString("matches")
	c.Reply.Array(len(matches))
	for _, m := range matches {
		c.Reply.Array(2 + btoi(o.withLen))
		for _, r := range m.ranges {
			c.Reply.Array(2)
			c.Reply.Int(int64(r[0]))
			c.Reply.Int(int64(r[1]))
		}
		if o.withLen {
			c.Reply.Int(int64(m.ranges[0][1] - m.ranges[0][0] + 1))
		}
	}
	c.Reply.BulkString("len")
	c.Reply.Int(int64(total))
}

func lcsTable(a, b []byte) []uint32 {
	n := len(b) + 1
	t := make([]uint32, (len(a)+1)*n)
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			if a[i-1] == b[j-1] {
				t[i*n+j] = t[(i-1)*n+j-1] + 1
			} else {
				t[i*n+j] = max(t[(i-1)*n+j], t[i*n+j-1])
			}
		}
	}
	return t
}

type lcsMatch struct{ ranges [2][2]int }

// lcsWalk goes back through the table: it returns the common bytes and, from the last to the
// first, the stretches that both strings share.
func lcsWalk(a, b []byte, t []uint32, o lcsOptions) (common []byte, matches []lcsMatch) {
	n := len(b) + 1
	i, j := len(a), len(b)
	common = make([]byte, t[i*n+j])
	at := len(common)
	var run lcsMatch
	open := false
	emit := func() {
		if open && int64(run.ranges[0][1]-run.ranges[0][0]+1) >= o.minMatch {
			matches = append(matches, run)
		}
		open = false
	}
	for at > 0 && i > 0 && j > 0 {
		if a[i-1] == b[j-1] {
			at--
			common[at] = a[i-1]
			if open && run.ranges[0][0] == i && run.ranges[1][0] == j {
				run.ranges[0][0]--
				run.ranges[1][0]--
			} else {
				emit()
				run = lcsMatch{[2][2]int{{i - 1, i - 1}, {j - 1, j - 1}}}
				open = true
			}
			if run.ranges[0][0] == 0 || run.ranges[1][0] == 0 {
				emit()
			}
			i--
			j--
			continue
		}
		if t[(i-1)*n+j] > t[i*n+j-1] {
			i--
		} else {
			j--
		}
		emit()
	}
	emit()
	return common, matches
}
