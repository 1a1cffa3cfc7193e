package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"
)

func init() {
	register("connection", []Command{
		{Name: "ping", Arity: -1, Flags: Fast, Handler: cmdPing},
		{Name: "echo", Arity: 2, Flags: Fast | Loading | Stale, Handler: cmdEcho},
		{Name: "select", Arity: 2, Flags: Fast | Loading | Stale, Handler: cmdSelect},
		{Name: "auth", Arity: -2, Flags: NoScript | Loading | Stale | Fast | NoAuth | AllowBusy, Handler: cmdAuth},
		{Name: "hello", Arity: -1, Flags: NoScript | Loading | Stale | Fast | NoAuth | AllowBusy, Handler: cmdHello},
		{Name: "quit", Arity: -1, Flags: NoScript | Loading | Stale | Fast | NoAuth | AllowBusy, Handler: cmdQuit},
		{Name: "reset", Arity: 1, Flags: NoScript | Loading | Stale | Fast | NoAuth | AllowBusy, Handler: cmdReset},
	})
}

func cmdPing(c *Client) {
	if len(c.args) > 2 {
		c.failArity()
		return
	}
	if c.subs.count() > 0 && c.w.Proto == 2 {
		c.w.Array(2)
		c.w.BulkString("pong")
		if len(c.args) == 2 {
			c.w.Bulk(c.args[1])
		} else {
			c.w.BulkString("")
		}
		return
	}
	if len(c.args) == 2 {
		c.w.Bulk(c.args[1])
	} else {
		c.w.SimpleString("PONG")
	}
}

func cmdEcho(c *Client) { c.w.Bulk(c.args[1]) }

func cmdSelect(c *Client) {
	n, ok := c.int32Arg(1)
	if !ok {
		return
	}
	db := c.s.store.DB(n)
	if db == nil {
		c.fail(errDBIndex)
		return
	}
	c.db = db
	c.w.OK()
}

// passwordIs compares without telling by its time how much of the password was right.
func (s *Server) passwordIs(given []byte) bool {
	want, got := sha256.Sum256([]byte(s.cfg.RequirePass)), sha256.Sum256(given)
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// login checks the credentials of AUTH and HELLO and replies an error when they are wrong.
func (c *Client) login(user, pass []byte) bool {
	if string(user) != "default" || c.s.cfg.RequirePass != "" && !c.s.passwordIs(pass) {
		c.fail("WRONGPASS invalid username-password pair or user is disabled.")
		return false
	}
	c.authed, c.user = true, "default"
	return true
}

func cmdAuth(c *Client) {
	if len(c.args) > 3 {
		c.fail(errSyntax)
		return
	}
	c.hide(1)
	if len(c.args) == 2 {
		if c.s.cfg.RequirePass == "" {
			c.fail("ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?")
			return
		}
		if c.login([]byte("default"), c.args[1]) {
			c.w.OK()
		}
		return
	}
	c.hide(2)
	if c.login(c.args[1], c.args[2]) {
		c.w.OK()
	}
}

func cmdHello(c *Client) {
	proto := c.w.Proto
	next := 1
	if len(c.args) > 1 {
		n, ok := parseInt(c.args[1])
		if !ok {
			c.fail("ERR Protocol version is not an integer or out of range")
			return
		}
		if n < 2 || n > 3 {
			c.fail("NOPROTO unsupported protocol version")
			return
		}
		proto, next = int(n), 2
	}
	var name []byte
	for ; next < len(c.args); next++ {
		more := len(c.args) - 1 - next
		switch {
		case c.is(next, "auth") && more >= 2:
			c.hide(next+1, next+2)
			if !c.login(c.args[next+1], c.args[next+2]) {
				return
			}
			next += 2
		case c.is(next, "setname") && more >= 1:
			name = c.args[next+1]
			if !validName(name) {
				c.fail(errBadName)
				return
			}
			next++
		default:
			c.fail("ERR Syntax error in HELLO option '" + quoted(c.args[next]) + "'")
			return
		}
	}
	if !c.authed {
		c.fail("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time")
		return
	}
	if name != nil {
		c.name = string(name)
	}
	c.w.Proto = proto
	c.replyHello()
}

func (c *Client) replyHello() {
	role := "master"
	if c.s.isReplica() {
		role = "replica"
	}
	c.w.Map(7)
	c.w.BulkString("server")
	c.w.BulkString("redis")
	c.w.BulkString("version")
	c.w.BulkString(redisVersion)
	c.w.BulkString("proto")
	c.w.Int(int64(c.w.Proto))
	c.w.BulkString("id")
	c.w.Int(c.id)
	c.w.BulkString("mode")
	c.w.BulkString("standalone")
	c.w.BulkString("role")
	c.w.BulkString(role)
	c.w.BulkString("modules")
	c.w.Array(0)
}

// redisVersion is the release of Redis whose commands, files and replication this server speaks.
const redisVersion = "7.0.15"

func cmdQuit(c *Client) {
	c.w.OK()
	c.closing = closeAfterReply
}

func cmdReset(c *Client) {
	s := c.s
	c.discard()
	s.unsubscribeAll(c)
	s.removeMonitor(c)
	c.flags &^= flagReplyOff
	c.muteOnce = 0
	c.db = s.store.DB(0)
	c.w.Proto = 2
	c.name, c.evictExempt, c.touchExempt = "", false, false
	c.user, c.authed = "default", s.cfg.RequirePass == ""
	c.w.SimpleString("RESET")
}

const errBadName = "ERR Client names cannot contain spaces, newlines or special characters."

// validName reports whether a client's name holds only printable characters other than the space.
func validName(name []byte) bool {
	return strings.IndexFunc(string(name), func(r rune) bool { return r < '!' || r > '~' }) < 0
}
