package server

import (
	"strings"

	"byor/pkg/config"
	"byor/pkg/engine"
	"byor/pkg/resp"
)

func init() {
	engine.Register("connection", []engine.Command{
		{Name: "ping", Arity: -1, Flags: engine.Fast, Handler: cmdPing},
		{Name: "echo", Arity: 2, Flags: engine.Fast | engine.Loading | engine.Stale, Handler: cmdEcho},
		{Name: "select", Arity: 2, Flags: engine.Fast | engine.Loading | engine.Stale, Handler: by(cmdSelect)},
		{Name: "auth", Arity: -2, Flags: engine.NoScript | engine.Loading | engine.Stale | engine.Fast | engine.NoAuth | engine.AllowBusy, Handler: by(cmdAuth)},
		{Name: "hello", Arity: -1, Flags: engine.NoScript | engine.Loading | engine.Stale | engine.Fast | engine.NoAuth | engine.AllowBusy, Handler: by(cmdHello)},
		{Name: "quit", Arity: -1, Flags: engine.NoScript | engine.Loading | engine.Stale | engine.Fast | engine.NoAuth | engine.AllowBusy, Handler: by(cmdQuit)},
		{Name: "reset", Arity: 1, Flags: engine.NoScript | engine.Loading | engine.Stale | engine.Fast | engine.NoAuth | engine.AllowBusy, Handler: by(cmdReset)},
	})
}

func cmdPing(c *engine.Call) {
	if len(c.Args) > 2 {
		c.FailArity()
		return
	}
	if c.Session().Subs.Count() > 0 && c.Reply.Proto == 2 {
		c.Reply.Array(2)
		c.Reply.BulkString("pong")
		if len(c.Args) == 2 {
			c.Reply.Bulk(c.Args[1])
		} else {
			c.Reply.BulkString("")
		}
		return
	}
	if len(c.Args) == 2 {
		c.Reply.Bulk(c.Args[1])
	} else {
		c.Reply.SimpleString("PONG")
	}
}

func cmdEcho(c *engine.Call) { c.Reply.Bulk(c.Args[1]) }

func cmdSelect(c *client) {
	n, ok := c.Int32Arg(1)
	if !ok {
		return
	}
	db := c.s.eng.Store.DB(n)
	if db == nil {
		c.Fail(engine.ErrDBIndex)
		return
	}
	c.DB = db
	c.Reply.OK()
}

// login checks the credentials of AUTH and HELLO and replies an error when they are wrong. The process's own sessions
// have all rights whoever they say they are.
func (c *client) login(user, pass []byte) bool {
	if c.owner {
		return true
	}
	if !c.who.Try(user, pass) {
		c.Fail("WRONGPASS invalid username-password pair or user is disabled.")
		return false
	}
	return true
}

func cmdAuth(c *client) {
	if len(c.Args) > 3 {
		c.Fail(engine.ErrSyntax)
		return
	}
	c.Hide(1)
	if len(c.Args) == 2 {
		if c.s.users.Default().NoPass() {
			c.Fail("ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?")
			return
		}
		if c.login([]byte(c.s.users.Default().Name), c.Args[1]) {
			c.Reply.OK()
		}
		return
	}
	c.Hide(2)
	if c.login(c.Args[1], c.Args[2]) {
		c.Reply.OK()
	}
}

func cmdHello(c *client) {
	proto := c.Reply.Proto
	next := 1
	if len(c.Args) > 1 {
		n, ok := resp.ParseInt(c.Args[1])
		if !ok {
			c.Fail("ERR Protocol version is not an integer or out of range")
			return
		}
		if n < 2 || n > 3 {
			c.Fail("NOPROTO unsupported protocol version")
			return
		}
		proto, next = int(n), 2
	}
	var name []byte
	for ; next < len(c.Args); next++ {
		more := len(c.Args) - 1 - next
		switch {
		case c.Is(next, "auth") && more >= 2:
			c.Hide(next+1, next+2)
			if !c.login(c.Args[next+1], c.Args[next+2]) {
				return
			}
			next += 2
		case c.Is(next, "setname") && more >= 1:
			name = c.Args[next+1]
			if !validName(name) {
				c.Fail(errBadName)
				return
			}
			next++
		default:
			c.Fail("ERR Syntax error in HELLO option '" + engine.Quoted(c.Args[next]) + "'")
			return
		}
	}
	if !c.who.Authenticated() {
		c.Fail("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time")
		return
	}
	if name != nil {
		c.Name = string(name)
	}
	c.Reply.Proto = proto
	c.replyHello()
}

func (c *client) replyHello() {
	role := "master"
	if c.s.isReplica() {
		role = "replica"
	}
	c.Reply.Map(7)
	c.Reply.BulkString("server")
	c.Reply.BulkString("redis")
	c.Reply.BulkString("version")
	c.Reply.BulkString(config.RedisVersion)
	c.Reply.BulkString("proto")
	c.Reply.Int(int64(c.Reply.Proto))
	c.Reply.BulkString("id")
	c.Reply.Int(c.ID)
	c.Reply.BulkString("mode")
	c.Reply.BulkString("standalone")
	c.Reply.BulkString("role")
	c.Reply.BulkString(role)
	c.Reply.BulkString("modules")
	c.Reply.Array(0)
}

func cmdQuit(c *client) {
	c.Reply.OK()
	c.closing = closeAfterReply
}

func cmdReset(c *client) {
	s := c.s
	c.Discard()
	s.unsubscribeAll(c)
	s.removeMonitor(c)
	s.tracking.Untrack(&c.Session)
	c.Mode &^= engine.ModeReplyOff
	c.MuteOnce = 0
	c.DB = s.eng.Store.DB(0)
	c.Reply.Proto = 2
	c.Name, c.evictExempt, c.Exempt, c.wantsEntry = "", false, false, false
	if !c.owner {
		c.who.Begin(s.users, &c.Session)
	}
	c.Reply.SimpleString("RESET")
}

const errBadName = "ERR Client names cannot contain spaces, newlines or special characters."

// validName reports whether a client's name holds only printable characters other than the space.
func validName(name []byte) bool {
	return strings.IndexFunc(string(name), func(r rune) bool { return r < '!' || r > '~' }) < 0
}
