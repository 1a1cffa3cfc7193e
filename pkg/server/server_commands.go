package server

import (
	"context"
	"time"

	"byor/pkg/config"
	"byor/pkg/engine"
)

func init() {
	engine.Register("server", []engine.Command{
		{Name: "info", Arity: -1, Flags: engine.Loading | engine.Stale, Handler: by(cmdInfo)},
		{Name: "time", Arity: 1, Flags: engine.Fast | engine.Loading | engine.Stale, Handler: by(cmdTime)},
		{Name: "lolwut", Arity: -1, Flags: engine.ReadOnly | engine.Fast, Handler: by(cmdLolwut)},
		{Name: "shutdown", Arity: -1, Flags: engine.Admin | engine.NoScript | engine.Loading | engine.Stale | engine.NoMulti | engine.AllowBusy | engine.NeverPaused, Handler: by(cmdShutdown)},
	})
}

func cmdTime(c *client) {
	now := c.s.eng.Clock()
	c.Reply.Array(2)
	c.Reply.BulkInt(now.Unix())
	c.Reply.BulkInt(int64(now.Nanosecond() / 1000))
}

func cmdLolwut(c *client) {
	if len(c.Args) > 2 && c.Is(1, "version") {
		if _, ok := c.IntArg(2); !ok {
			return
		}
	}
	c.Reply.Verbatim("txt", "Redis ver. "+config.RedisVersion+"\n")
}

// cmdShutdown ends the server. It has no reply when it succeeds: the connection closes.
func cmdShutdown(c *client) {
	var mode ShutdownMode
	abort := false
	for i := 1; i < len(c.Args); i++ {
		if c.Is(i, "abort") {
			abort = true
		} else if c.Is(i, "default") || !mode.add(string(c.Args[i])) {
			c.Fail(engine.ErrSyntax)
			return
		}
	}
	if abort && len(c.Args) > 2 || mode.Save && mode.NoSave {
		c.Fail(engine.ErrSyntax)
		return
	}
	s := c.s
	switch {
	case abort && (!s.down.begun && s.eng.PausedBy(engine.ByShutdown) == (engine.Pause{}) || s.down.closed):
		c.Fail("ERR No shutdown in progress.")
		return
	case abort:
		s.down.abort = true
		c.Reply.OK()
		return
	}
	if msg := s.eng.Busy(); msg != "" && !mode.NoSave {
		c.Fail(msg)
		return
	}
	c.Block(engine.Wait{Expire: func(c *engine.Call) { c.Fail("ERR Errors trying to SHUTDOWN. Check logs.") }}, nil)
	if !mode.Now {
		s.holdWrites() // from this command on, not only when the goroutine has come to its turn
	}
	patience := time.Duration(s.cfg.ShutdownTimeoutSec)*time.Second + 10*time.Second
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx, mode); err != nil {
			s.eng.Lock()
			defer s.eng.Unlock()
			if b := c.Blocked; b != nil {
				s.eng.EndWait(&c.Session, func() { b.Expire(&c.Call) })
			}
		}
	}()
}
