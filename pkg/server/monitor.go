package server

import (
	"fmt"
	"slices"
)

func init() {
	register("server", []Command{
		{Name: "monitor", Arity: 1, Flags: Admin | NoScript | Loading | Stale, Handler: cmdMonitor},
	})
}

func cmdMonitor(c *Client) {
	if c.has(flagInExec) {
		c.fail("ERR MONITOR isn't allowed for DENY BLOCKING client")
		return
	}
	if !c.has(flagMonitor) {
		c.flags |= flagMonitor
		c.s.monitors = append(c.s.monitors, c)
	}
	c.w.OK()
}

func (s *Server) removeMonitor(c *Client) {
	if !c.has(flagMonitor) {
		return
	}
	c.flags &^= flagMonitor
	for i, m := range s.monitors {
		if m == c {
			s.monitors = append(s.monitors[:i:i], s.monitors[i+1:]...)
			return
		}
	}
}

// feedMonitors shows the command that has just run to the clients that asked for it.
func (s *Server) feedMonitors(c *Client, args [][]byte) {
	addr := c.addr
	if c.unix {
		addr = "unix:" + s.cfg.UnixSocket
	}
	now := s.clock()
	line := fmt.Appendf(nil, "+%d.%06d [%d %s]", now.Unix(), now.Nanosecond()/1000, c.db.ID(), addr)
	for _, a := range c.shown(args) {
		line = append(append(line, ' '), quote(a)...)
	}
	line = append(line, '\r', '\n')
	shared := &sharedBytes{b: line, mem: &s.sharedMem}
	for _, m := range s.monitors {
		if m.closing != staysOpen {
			continue
		}
		if len(line) >= shareFrom && s.running != m {
			m.share(shared)
			continue
		}
		w, _ := m.beginPush()
		w.Raw(line)
	}
}

// hide keeps arguments of the running command, such as passwords, out of MONITOR and the slow log.
func (c *Client) hide(args ...int) { c.secrets = append(c.secrets, args...) }

// shown returns the arguments without those that hide was told of.
func (c *Client) shown(args [][]byte) [][]byte {
	if len(c.secrets) == 0 {
		return args
	}
	args = slices.Clone(args)
	for _, i := range c.secrets {
		args[i] = []byte("(redacted)")
	}
	return args
}

// quote prints bytes as redis-cli and Redis's logs do.
func quote(b []byte) string {
	q := []byte{'"'}
	for _, ch := range b {
		switch {
		case ch == '\\' || ch == '"':
			q = append(q, '\\', ch)
		case ch == '\n':
			q = append(q, `\n`...)
		case ch == '\r':
			q = append(q, `\r`...)
		case ch == '\t':
			q = append(q, `\t`...)
		case ch == '\a':
			q = append(q, `\a`...)
		case ch == '\b':
			q = append(q, `\b`...)
		case ch < ' ' || ch > '~':
			q = append(q, `\x`...)
			q = append(q, "0123456789abcdef"[ch>>4], "0123456789abcdef"[ch&15])
		default:
			q = append(q, ch)
		}
	}
	return string(append(q, '"'))
}
