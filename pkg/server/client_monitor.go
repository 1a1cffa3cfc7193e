package server

import (
	"fmt"

	"byor/pkg/config"
	"byor/pkg/engine"
)

func init() {
	engine.Register("server", []engine.Command{
		{Name: "monitor", Arity: 1, Flags: engine.Admin | engine.NoScript | engine.Loading | engine.Stale, Handler: by(cmdMonitor)},
	})
}

func cmdMonitor(c *client) {
	if c.Has(engine.ModeExec) {
		c.Fail("ERR MONITOR isn't allowed for DENY BLOCKING client")
		return
	}
	if !c.Has(engine.ModeMonitor) {
		c.Mode |= engine.ModeMonitor
		c.s.monitors = append(c.s.monitors, c)
		c.s.eng.Observe = c.s.feedMonitors
	}
	c.Reply.OK()
}

func (s *Server) removeMonitor(c *client) {
	if !c.Has(engine.ModeMonitor) {
		return
	}
	c.Mode &^= engine.ModeMonitor
	for i, m := range s.monitors {
		if m == c {
			s.monitors = append(s.monitors[:i:i], s.monitors[i+1:]...)
			break
		}
	}
	if len(s.monitors) == 0 {
		s.eng.Observe = nil
	}
}

// feedMonitors shows the command that has just run to the clients that asked for it.
func (s *Server) feedMonitors(session *engine.Session, args [][]byte) {
	c := clientOf(session)
	addr := c.Addr
	if c.unix {
		addr = "unix:" + s.cfg.UnixSocket
	}
	if c.Has(engine.ModeScript) {
		addr = "lua"
	}
	now := s.eng.Clock()
	line := fmt.Appendf(nil, "+%d.%06d [%d %s]", now.Unix(), now.Nanosecond()/1000, c.DB.ID(), addr)
	for _, a := range c.Shown(args) {
		line = append(append(line, ' '), config.Quote(a)...)
	}
	line = append(line, '\r', '\n')
	shared := &sharedBytes{b: line, mem: &s.sharedMem}
	for _, m := range s.monitors {
		if m.closing != staysOpen {
			continue
		}
		if len(line) >= shareFrom && !m.runs() {
			m.share(shared)
			continue
		}
		w, _ := m.beginPush()
		w.Raw(line)
	}
}
