package introspect

import (
	"byor/pkg/engine"
	"byor/pkg/resp"
)

func init() {
	engine.Register("server", []engine.Command{
		{Name: "slowlog", Arity: -2, Sub: []*engine.Command{
			{Name: "get", Arity: -2, Flags: engine.Admin | engine.Loading | engine.Stale, Handler: cmdSlowlogGet},
			{Name: "help", Arity: 2, Flags: engine.Loading | engine.Stale, Handler: cmdSlowlogHelp},
			{Name: "len", Arity: 2, Flags: engine.Admin | engine.Loading | engine.Stale, Handler: cmdSlowlogLen},
			{Name: "reset", Arity: 2, Flags: engine.Admin | engine.Loading | engine.Stale, Handler: cmdSlowlogReset},
		}},
	})
}

func cmdSlowlogGet(c *engine.Call) {
	n := int64(10)
	if len(c.Args) > 3 {
		c.FailSubcommand()
		return
	}
	if len(c.Args) == 3 {
		var ok bool
		if n, ok = resp.ParseInt(c.Args[2]); !ok || n < -1 {
			c.Fail("ERR count should be greater than or equal to -1")
			return
		}
	}
	log := c.Engine().Slowlog.Entries
	if n == -1 || n > int64(len(log)) {
		n = int64(len(log))
	}
	c.Reply.Array(int(n))
	for i := range int(n) {
		e := log[len(log)-1-i]
		c.Reply.Array(6)
		c.Reply.Int(e.ID)
		c.Reply.Int(e.Unix)
		c.Reply.Int(e.Us)
		c.Reply.Array(len(e.Args))
		for _, a := range e.Args {
			c.Reply.BulkString(a)
		}
		c.Reply.BulkString(e.Client)
		c.Reply.BulkString(e.Name)
	}
}

func cmdSlowlogLen(c *engine.Call) { c.Reply.Int(int64(len(c.Engine().Slowlog.Entries))) }

func cmdSlowlogReset(c *engine.Call) {
	c.Engine().Slowlog.Entries = nil
	c.Reply.OK()
}

func cmdSlowlogHelp(c *engine.Call) {
	c.Help(
		"GET [<count>]", "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
		"    Entries are made of:", "    id, timestamp, time in microseconds, arguments array, client IP and port,", "    client name",
		"LEN", "    Return the length of the slowlog.",
		"RESET", "    Reset the slowlog.",
	)
}
