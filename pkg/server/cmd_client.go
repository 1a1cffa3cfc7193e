package server

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"byor/pkg/pubsub"
	"byor/pkg/repl"
)

func init() {
	const f = NoScript | Loading | Stale
	const admin = f | Admin
	register("connection", []Command{
		{Name: "client", Arity: -2, Sub: []*Command{
			{Name: "caching", Arity: 3, Flags: f, Handler: cmdClientCaching},
			{Name: "getname", Arity: 2, Flags: f, Handler: cmdClientGetname},
			{Name: "getredir", Arity: 2, Flags: f, Handler: cmdClientGetredir},
			{Name: "help", Arity: 2, Flags: Loading | Stale, Handler: cmdClientHelp},
			{Name: "id", Arity: 2, Flags: f, Handler: cmdClientID},
			{Name: "info", Arity: 2, Flags: f, Handler: cmdClientInfo},
			{Name: "kill", Arity: -3, Flags: admin, Handler: cmdClientKill},
			{Name: "list", Arity: -2, Flags: admin, Handler: cmdClientList},
			{Name: "no-evict", Arity: 3, Flags: admin, Handler: cmdClientNoEvict},
			{Name: "no-touch", Arity: 3, Flags: f, Handler: cmdClientNoTouch},
			{Name: "pause", Arity: -3, Flags: admin, Handler: cmdClientPause},
			{Name: "reply", Arity: 3, Flags: f, Handler: cmdClientReply},
			{Name: "setinfo", Arity: 4, Flags: f, Handler: cmdClientSetinfo},
			{Name: "setname", Arity: 3, Flags: f, Handler: cmdClientSetname},
			{Name: "trackinginfo", Arity: 2, Flags: f, Handler: cmdClientTrackinginfo},
			{Name: "unblock", Arity: -3, Flags: admin, Handler: cmdClientUnblock},
			{Name: "unpause", Arity: 2, Flags: admin, Handler: cmdClientUnpause},
		}},
	})
}

// describe returns the client's line of CLIENT LIST.
func (c *Client) describe() string {
	s := c.s
	multi := -1
	if c.has(flagMulti) {
		multi = len(c.queue)
	}
	last := "NULL"
	if c.cmd != nil {
		last = c.cmd.full
	}
	w, room := c.waits()
	argv := c.argvMem + argBytes(c.args)
	if c.blocked != nil {
		argv += argBytes(c.blocked.args)
	}
	total := clientOverhead + int64(c.querySize+argv) + c.keptMem + c.queueMem + int64(room) + w.omem
	events := "r"
	if w.bytes() > 0 {
		events = "rw"
	}
	return fmt.Sprintf("id=%d addr=%s laddr=%s fd=%d name=%s age=%d idle=%d flags=%s db=%d sub=%d psub=%d ssub=%d "+
		"multi=%d qbuf=%d qbuf-free=%d argv-mem=%d multi-mem=%d rbs=%d rbp=%d obl=%d oll=%d omem=%d tot-mem=%d "+
		"events=%s cmd=%s user=%s redir=-1 resp=%d lib-name=%s lib-ver=%s",
		c.id, c.addr, c.laddr, c.fd(), c.name, (s.nowMs-c.createdMs)/1000, (s.nowMs-c.activeMs)/1000, c.flagLetters(),
		c.db.ID(), len(s.hub.Subscriptions(c, pubsub.Channel)), len(s.hub.Subscriptions(c, pubsub.Pattern)), c.subs.sharded,
		multi, c.queryLen, max(0, c.querySize-c.queryLen), argv, c.queueBytes(), room, c.outPeak, w.obl, w.oll, w.omem,
		total, events, last, c.user, max(2, c.w.Proto), c.libName, c.libVer)
}

// fd stands in for the file descriptor, which Go keeps to itself.
func (c *Client) fd() int64 {
	if c.conn == nil && !c.has(flagMaster) {
		return -1
	}
	return c.id + 7
}

func argBytes(args [][]byte) int {
	n := 0
	for _, a := range args {
		n += len(a)
	}
	return n
}

func (c *Client) queueBytes() (n int) {
	for _, q := range c.queue {
		n += argBytes(q.args)
	}
	return n
}

func (c *Client) flagLetters() string {
	var b []byte
	add := func(when bool, letter byte) {
		if when {
			b = append(b, letter)
		}
	}
	add(c.has(flagReplica) && !c.has(flagMonitor), 'S')
	add(c.has(flagMonitor), 'O')
	add(c.has(flagMaster), 'M')
	add(c.subs.count() > 0, 'P')
	add(c.has(flagMulti), 'x')
	add(c.blocked != nil, 'b')
	add(c.dirtyCAS, 'd')
	add(c.closing == closeAfterReply, 'c')
	add(c.closing == closeNow, 'A')
	add(c.unix, 'U')
	add(c.evictExempt, 'e')
	add(c.touchExempt, 'T')
	if len(b) == 0 {
		return "N"
	}
	return string(b)
}

func (c *Client) kind() string {
	switch {
	case c.has(flagMaster):
		return "master"
	case c.has(flagReplica):
		return "replica"
	case c.subs.count() > 0:
		return "pubsub"
	}
	return "normal"
}

func cmdClientID(c *Client)   { c.w.Int(c.id) }
func cmdClientInfo(c *Client) { c.w.Verbatim("txt", c.describe()+"\n") }

func cmdClientGetname(c *Client) {
	if c.name == "" {
		c.w.Null()
		return
	}
	c.w.BulkString(c.name)
}

func cmdClientSetname(c *Client) {
	if !validName(c.args[2]) {
		c.fail(errBadName)
		return
	}
	c.name = string(c.args[2])
	c.w.OK()
}

func cmdClientSetinfo(c *Client) {
	v := c.args[3]
	switch {
	case c.is(2, "lib-name"), c.is(2, "lib-ver"):
	default:
		c.fail("ERR Unrecognized option '" + quoted(c.args[2]) + "'")
		return
	}
	if !validName(v) {
		c.fail("ERR " + strings.ToLower(string(c.args[2])) + " cannot contain spaces, newlines or special characters.")
		return
	}
	if c.is(2, "lib-name") {
		c.libName = string(v)
	} else {
		c.libVer = string(v)
	}
	c.w.OK()
}

// sortedClients returns the clients in the order in which they came. The link to a master is one of them
// while it is up.
func (s *Server) sortedClients() []*Client {
	cs := slices.Collect(maps.Values(s.clients))
	if link := s.masterLink(); link != nil {
		cs = append(cs, link)
	}
	slices.SortFunc(cs, func(a, b *Client) int { return cmp.Compare(a.id, b.id) })
	return cs
}

// masterLink returns the link to the master as a client that can be listed and killed, or nil where there
// is none, or none that is up.
func (s *Server) masterLink() *Client {
	if s.following == nil {
		return nil
	}
	st := s.following.f.Status()
	if st.State != repl.Connected {
		return nil
	}
	link := s.following.link
	link.addr, link.laddr = addrString(st.Remote), addrString(st.Local)
	return link
}

func cmdClientList(c *Client) {
	keep := func(*Client) bool { return true }
	switch n := len(c.args); {
	case n == 2:
	case n == 4 && c.is(2, "type"):
		kind, ok := clientType(c.args[3])
		if !ok {
			c.fail("ERR Unknown client type '" + quoted(c.args[3]) + "'")
			return
		}
		keep = func(o *Client) bool { return o.kind() == kind }
	case n > 3 && c.is(2, "id"):
		ids := map[int64]bool{}
		for i := 3; i < n; i++ {
			id, ok := parseInt(c.args[i])
			if !ok {
				c.fail("ERR Invalid client ID")
				return
			}
			ids[id] = true
		}
		keep = func(o *Client) bool { return ids[o.id] }
	default:
		c.fail(errSyntax)
		return
	}
	var b strings.Builder
	for _, o := range c.s.sortedClients() {
		if keep(o) {
			b.WriteString(o.describe() + "\n")
		}
	}
	c.w.Verbatim("txt", b.String())
}

func clientType(b []byte) (string, bool) {
	switch {
	case isWord(b, "normal"), isWord(b, "replica"), isWord(b, "pubsub"), isWord(b, "master"):
		return strings.ToLower(string(b)), true
	case isWord(b, "slave"):
		return "replica", true
	}
	return "", false
}

// cmdClientKill knows the old form, CLIENT KILL addr:port, and the one of filters.
func cmdClientKill(c *Client) {
	if len(c.args) == 3 {
		for _, o := range c.s.sortedClients() {
			if o.addr == string(c.args[2]) {
				c.kill(o)
				c.w.OK()
				return
			}
		}
		c.fail("ERR No such client")
		return
	}
	match, ok := c.killFilter()
	if !ok {
		return
	}
	n := 0
	for _, o := range c.s.sortedClients() {
		if match(o) {
			c.kill(o)
			n++
		}
	}
	c.w.Int(int64(n))
}

// kill closes another client at once, and the caller itself after its reply.
func (c *Client) kill(o *Client) {
	if o == c {
		if c.told != nil {
			c.told.Ended(EndKilled)
		}
		c.closing = closeAfterReply
		return
	}
	if o.has(flagMaster) { // it comes again by itself
		c.s.following.f.Drop()
		return
	}
	c.s.end(o, EndKilled)
}

// killFilter parses "ID n ADDR a LADDR a TYPE t USER u SKIPME yes|no".
func (c *Client) killFilter() (func(*Client) bool, bool) {
	var tests []func(*Client) bool
	skipMe := true
	if len(c.args)%2 != 0 {
		c.fail(errSyntax)
		return nil, false
	}
	for i := 2; i < len(c.args); i += 2 {
		v := string(c.args[i+1])
		switch {
		case c.is(i, "id"):
			id, ok := parseInt(c.args[i+1])
			if !ok || id < 1 {
				c.fail("ERR client-id should be greater than 0")
				return nil, false
			}
			tests = append(tests, func(o *Client) bool { return o.id == id })
		case c.is(i, "addr"):
			tests = append(tests, func(o *Client) bool { return o.addr == v })
		case c.is(i, "laddr"):
			tests = append(tests, func(o *Client) bool { return o.laddr == v })
		case c.is(i, "type"):
			kind, ok := clientType(c.args[i+1])
			if !ok {
				c.fail("ERR Unknown client type '" + quoted([]byte(v)) + "'")
				return nil, false
			}
			tests = append(tests, func(o *Client) bool { return o.kind() == kind })
		case c.is(i, "user"):
			if v != "default" {
				c.fail("ERR No such user '" + v + "'")
				return nil, false
			}
			tests = append(tests, func(o *Client) bool { return o.user == v })
		case c.is(i, "skipme") && c.is(i+1, "yes"):
			skipMe = true
		case c.is(i, "skipme") && c.is(i+1, "no"):
			skipMe = false
		default:
			c.fail(errSyntax)
			return nil, false
		}
	}
	return func(o *Client) bool {
		if o == c && skipMe {
			return false
		}
		for _, t := range tests {
			if !t(o) {
				return false
			}
		}
		return true
	}, true
}

func cmdClientPause(c *Client) {
	all := true
	if len(c.args) == 4 {
		switch {
		case c.is(3, "write"):
			all = false
		case !c.is(3, "all"):
			c.fail("ERR CLIENT PAUSE mode must be WRITE or ALL")
			return
		}
	} else if len(c.args) > 4 {
		c.failSubcommand()
		return
	}
	ms, ok := parseInt(c.args[2])
	switch {
	case !ok:
		c.fail("ERR timeout is not an integer or out of range")
		return
	case ms < 0:
		c.fail(errTimeoutNeg)
		return
	}
	p := c.s.pauses[byClient] // a pause under way is never shortened or weakened
	if p.untilMs > c.s.nowMs {
		all = all || p.all
	}
	c.s.setPause(byClient, pause{max(p.untilMs, c.s.nowMs+ms), all}) // beyond the end of time there is no pause, as in Redis
	c.w.OK()
}

func cmdClientUnpause(c *Client) {
	c.s.setPause(byClient, pause{})
	c.w.OK()
}

func cmdClientReply(c *Client) {
	switch {
	case c.is(2, "on"):
		c.flags &^= flagReplyOff
		c.muteOnce = 0
		c.w.OK()
	case c.is(2, "off"):
		c.flags |= flagReplyOff
	case c.is(2, "skip"):
		if !c.has(flagReplyOff) {
			c.muteOnce = 2 // this one's and the next one's
		}
	default:
		c.fail(errSyntax)
	}
}

func cmdClientNoEvict(c *Client) { c.onOff(&c.evictExempt) }
func cmdClientNoTouch(c *Client) { c.onOff(&c.touchExempt) }

// runUntouched runs a command of a client that said NO-TOUCH: keys do not count as used, unless the
// client says TOUCH.
func (c *Client) runUntouched(cmd *Command) {
	st := c.s.store
	st.NoTouch = cmd.Name != "touch"
	cmd.Handler(c)
	st.NoTouch = false
}

func (c *Client) onOff(v *bool) {
	switch {
	case c.is(2, "on"):
		*v = true
	case c.is(2, "off"):
		*v = false
	default:
		c.fail(errSyntax)
		return
	}
	c.w.OK()
}

func cmdClientUnblock(c *Client) {
	withError := false
	if len(c.args) == 4 {
		switch {
		case c.is(3, "error"):
			withError = true
		case !c.is(3, "timeout"):
			c.fail("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
			return
		}
	}
	id, ok := c.intArg(2)
	if !ok {
		return
	}
	o := c.s.clients[id]
	if o == nil || o.blocked == nil || o.blocked.paused {
		c.w.Int(0)
		return
	}
	b := o.blocked
	c.s.endWait(o, func() {
		if withError {
			o.fail("UNBLOCKED client unblocked via CLIENT UNBLOCK")
		} else {
			b.expire(o)
		}
	})
	c.failed = withError // an error reply counts for the command that made it, as in Redis
	c.s.accountWait(o, b, true)
	c.w.Int(1)
}

// Client-side caching is not offered; what asks about it is told so in Redis's terms.

func cmdClientGetredir(c *Client) { c.w.Int(-1) }

func cmdClientCaching(c *Client) {
	c.fail("ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled")
}

func cmdClientTrackinginfo(c *Client) {
	c.w.Map(3)
	c.w.BulkString("flags")
	c.w.Set(1)
	c.w.BulkString("off")
	c.w.BulkString("redirect")
	c.w.Int(-1)
	c.w.BulkString("prefixes")
	c.w.Array(0)
}

func cmdClientHelp(c *Client) {
	c.help(
		"CACHING (YES|NO)", "    Enable/disable tracking of the keys for next command in OPTIN/OPTOUT modes.",
		"GETREDIR", "    Return the client ID we are redirecting to when tracking is enabled.",
		"GETNAME", "    Return the name of the current connection.",
		"ID", "    Return the ID of the current connection.",
		"INFO", "    Return information about the current client connection.",
		"KILL <ip:port>", "    Kill connection made from <ip:port>.",
		"KILL <option> <value> [<option> <value> [...]]", "    Kill connections. Options are:", "    * ADDR (<ip:port>|<unixsocket>:0)", "      Kill connections made from the specified address", "    * LADDR (<ip:port>|<unixsocket>:0)", "      Kill connections made to specified local address", "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)", "      Kill connections by type.", "    * USER <username>", "      Kill connections authenticated by <username>.", "    * SKIPME (YES|NO)", "      Skip killing current connection (default: yes).",
		"LIST [options ...]", "    Return information about client connections. Options:", "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)", "      Return clients of specified type.",
		"UNPAUSE", "    Stop the current client pause, resuming traffic.",
		"PAUSE <timeout> [WRITE|ALL]", "    Suspend all, or just write, clients for <timeout> milliseconds.",
		"REPLY (ON|OFF|SKIP)", "    Control the replies sent to the current connection.",
		"SETNAME <name>", "    Assign the name <name> to the current connection.",
		"UNBLOCK <clientid> [TIMEOUT|ERROR]", "    Unblock the specified blocked client.",
		"TRACKINGINFO", "    Report tracking status for the current connection.",
		"NO-EVICT (ON|OFF)", "    Protect current client connection from eviction.",
		"NO-TOUCH (ON|OFF)", "    Do not mark the keys that the current connection looks up as used.",
		"SETINFO (LIB-NAME|LIB-VER) <value>", "    Tell the library that the current connection uses.",
	)
}

// parsePositive parses a decimal for options that take one.
func parsePositive(b []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(b), 10, 64)
	return n, err == nil && n > 0
}
