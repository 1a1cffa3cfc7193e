package server

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"byor/pkg/engine"
	"byor/pkg/pubsub"
	"byor/pkg/repl"
	"byor/pkg/resp"
	"byor/pkg/tracking"
)

func init() {
	const f = engine.NoScript | engine.Loading | engine.Stale
	const admin = f | engine.Admin
	engine.Register("connection", []engine.Command{
		{Name: "client", Arity: -2, Sub: []*engine.Command{
			{Name: "caching", Arity: 3, Flags: f, Handler: tracking.CmdCaching},
			{Name: "getname", Arity: 2, Flags: f, Handler: by(cmdClientGetname)},
			{Name: "getredir", Arity: 2, Flags: f, Handler: tracking.CmdGetredir},
			{Name: "help", Arity: 2, Flags: engine.Loading | engine.Stale, Handler: by(cmdClientHelp)},
			{Name: "id", Arity: 2, Flags: f, Handler: by(cmdClientID)},
			{Name: "info", Arity: 2, Flags: f, Handler: by(cmdClientInfo)},
			{Name: "kill", Arity: -3, Flags: admin, Handler: by(cmdClientKill)},
			{Name: "list", Arity: -2, Flags: admin, Handler: by(cmdClientList)},
			{Name: "no-evict", Arity: 3, Flags: admin, Handler: by(cmdClientNoEvict)},
			{Name: "no-touch", Arity: 3, Flags: f, Handler: by(cmdClientNoTouch)},
			{Name: "pause", Arity: -3, Flags: admin, Handler: by(cmdClientPause)},
			{Name: "reply", Arity: 3, Flags: f, Handler: by(cmdClientReply)},
			{Name: "setinfo", Arity: 4, Flags: f, Handler: by(cmdClientSetinfo)},
			{Name: "setname", Arity: 3, Flags: f, Handler: by(cmdClientSetname)},
			{Name: "tracking", Arity: -3, Flags: f, Handler: tracking.CmdTracking},
			{Name: "trackinginfo", Arity: 2, Flags: f, Handler: tracking.CmdTrackinginfo},
			{Name: "unblock", Arity: -3, Flags: admin, Handler: by(cmdClientUnblock)},
			{Name: "unpause", Arity: 2, Flags: admin | engine.NeverPaused, Handler: by(cmdClientUnpause)},
		}},
	})
}

// describe returns the client's line of CLIENT LIST.
func (c *client) describe() string {
	s := c.s
	multi := -1
	if c.Has(engine.ModeMulti) {
		multi = len(c.Queue)
	}
	last := "NULL"
	if c.Cmd != nil {
		last = c.Cmd.FullName()
	}
	w, room := c.waits()
	argv := c.argvMem + argBytes(c.Args)
	if c.Blocked != nil {
		argv += argBytes(c.Blocked.Args)
	}
	total := clientOverhead + int64(c.querySize+argv) + c.keptMem + c.QueueMem + int64(room) + w.omem
	events := "r"
	if w.bytes() > 0 {
		events = "rw"
	}
	about := ""
	if c.known != nil {
		if about = c.known.About(); about != "" {
			about = " " + about
		}
	}
	return fmt.Sprintf("id=%d addr=%s laddr=%s fd=%d name=%s age=%d idle=%d flags=%s db=%d sub=%d psub=%d ssub=%d "+
		"multi=%d qbuf=%d qbuf-free=%d argv-mem=%d multi-mem=%d rbs=%d rbp=%d obl=%d oll=%d omem=%d tot-mem=%d "+
		"events=%s cmd=%s user=%s redir=%d resp=%d lib-name=%s lib-ver=%s%s",
		c.ID, c.Addr, c.laddr, c.fd(), c.Name, (s.eng.NowMs-c.createdMs)/1000, (s.eng.NowMs-c.ActiveMs)/1000, c.flagLetters(),
		c.DB.ID(), len(s.eng.Hub.Subscriptions(c, pubsub.Channel)), len(s.eng.Hub.Subscriptions(c, pubsub.Pattern)), c.Subs.Sharded,
		multi, c.queryLen, max(0, c.querySize-c.queryLen), argv, c.queueBytes(), room, c.outPeak, w.obl, w.oll, w.omem,
		total, events, last, c.who.Name(), c.tracks.Redirection(), max(2, c.Reply.Proto), c.libName, c.libVer, about)
}

// fd stands in for the file descriptor, which Go keeps to itself.
func (c *client) fd() int64 {
	if c.conn == nil && !c.Has(engine.ModeMaster) {
		return -1
	}
	return c.ID + 7
}

func argBytes(args [][]byte) int {
	n := 0
	for _, a := range args {
		n += len(a)
	}
	return n
}

func (c *client) queueBytes() (n int) {
	for _, q := range c.Queue {
		n += argBytes(q.Args)
	}
	return n
}

func (c *client) flagLetters() string {
	var b []byte
	add := func(when bool, letter byte) {
		if when {
			b = append(b, letter)
		}
	}
	add(c.Has(engine.ModeReplica) && !c.Has(engine.ModeMonitor), 'S')
	add(c.Has(engine.ModeMonitor), 'O')
	add(c.Has(engine.ModeMaster), 'M')
	add(c.Subs.Count() > 0, 'P')
	add(c.Has(engine.ModeMulti), 'x')
	add(c.Blocked != nil, 'b')
	b = append(b, c.tracks.Letters()...)
	add(c.DirtyCAS, 'd')
	add(c.closing == closeAfterReply, 'c')
	add(c.closing == closeNow, 'A')
	add(c.unix, 'U')
	add(c.evictExempt, 'e')
	add(c.Exempt, 'T')
	if len(b) == 0 {
		return "N"
	}
	return string(b)
}

func (c *client) kind() string {
	switch {
	case c.Has(engine.ModeMaster):
		return "master"
	case c.Has(engine.ModeReplica):
		return "replica"
	case c.Subs.Count() > 0:
		return "pubsub"
	}
	return "normal"
}

func cmdClientID(c *client)   { c.Reply.Int(c.ID) }
func cmdClientInfo(c *client) { c.Reply.Verbatim("txt", c.describe()+"\n") }

func cmdClientGetname(c *client) {
	if c.Name == "" {
		c.Reply.Null()
		return
	}
	c.Reply.BulkString(c.Name)
}

func cmdClientSetname(c *client) {
	if !validName(c.Args[2]) {
		c.Fail(errBadName)
		return
	}
	c.Name = string(c.Args[2])
	c.Reply.OK()
}

func cmdClientSetinfo(c *client) {
	v := c.Args[3]
	switch {
	case c.Is(2, "lib-name"), c.Is(2, "lib-ver"):
	default:
		c.Fail("ERR Unrecognized option '" + engine.Quoted(c.Args[2]) + "'")
		return
	}
	if !validName(v) {
		c.Fail("ERR " + strings.ToLower(string(c.Args[2])) + " cannot contain spaces, newlines or special characters.")
		return
	}
	if c.Is(2, "lib-name") {
		c.libName = string(v)
	} else {
		c.libVer = string(v)
	}
	c.Reply.OK()
}

// sortedClients returns the clients in the order in which they came. The link to a master is one of them
// while it is up.
func (s *Server) sortedClients() []*client {
	cs := slices.Collect(maps.Values(s.clients))
	if link := s.masterLink(); link != nil {
		cs = append(cs, link)
	}
	slices.SortFunc(cs, func(a, b *client) int { return cmp.Compare(a.ID, b.ID) })
	return cs
}

// masterLink returns the link to the master as a client that can be listed and killed, or nil where there
// is none, or none that is up.
func (s *Server) masterLink() *client {
	if s.following == nil {
		return nil
	}
	st := s.following.f.Status()
	if st.State != repl.Connected {
		return nil
	}
	link := s.following.link
	link.Addr, link.laddr = addrString(st.Remote), addrString(st.Local)
	return link
}

func cmdClientList(c *client) {
	keep := func(*client) bool { return true }
	switch n := len(c.Args); {
	case n == 2:
	case n == 4 && c.Is(2, "type"):
		kind, ok := clientType(c.Args[3])
		if !ok {
			c.Fail("ERR Unknown client type '" + engine.Quoted(c.Args[3]) + "'")
			return
		}
		keep = func(o *client) bool { return o.kind() == kind }
	case n > 3 && c.Is(2, "id"):
		ids := map[int64]bool{}
		for i := 3; i < n; i++ {
			id, ok := resp.ParseInt(c.Args[i])
			if !ok {
				c.Fail("ERR Invalid client ID")
				return
			}
			ids[id] = true
		}
		keep = func(o *client) bool { return ids[o.ID] }
	default:
		c.Fail(engine.ErrSyntax)
		return
	}
	var b strings.Builder
	for _, o := range c.s.sortedClients() {
		if keep(o) {
			b.WriteString(o.describe() + "\n")
		}
	}
	c.Reply.Verbatim("txt", b.String())
}

func clientType(b []byte) (string, bool) {
	switch {
	case engine.IsWord(b, "normal"), engine.IsWord(b, "replica"), engine.IsWord(b, "pubsub"), engine.IsWord(b, "master"):
		return strings.ToLower(string(b)), true
	case engine.IsWord(b, "slave"):
		return "replica", true
	}
	return "", false
}

// cmdClientKill knows the old form, CLIENT KILL addr:port, and the one of filters.
func cmdClientKill(c *client) {
	if len(c.Args) == 3 {
		for _, o := range c.s.sortedClients() {
			if o.Addr == string(c.Args[2]) {
				c.kill(o)
				c.Reply.OK()
				return
			}
		}
		c.Fail("ERR No such client")
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
	c.Reply.Int(int64(n))
}

// kill closes another client at once, and the caller itself after its reply.
func (c *client) kill(o *client) {
	if o == c {
		if c.told != nil {
			c.told.Ended(EndKilled)
		}
		c.closing = closeAfterReply
		return
	}
	if o.Has(engine.ModeMaster) { // it comes again by itself
		c.s.following.f.Drop()
		return
	}
	c.s.end(o, EndKilled)
}

// killFilter parses "ID n ADDR a LADDR a TYPE t USER u SKIPME yes|no".
func (c *client) killFilter() (func(*client) bool, bool) {
	var tests []func(*client) bool
	skipMe := true
	if len(c.Args)%2 != 0 {
		c.Fail(engine.ErrSyntax)
		return nil, false
	}
	for i := 2; i < len(c.Args); i += 2 {
		if c.Is(i, "skipme") && (c.Is(i+1, "yes") || c.Is(i+1, "no")) {
			skipMe = c.Is(i+1, "yes")
			continue
		}
		test, refused := c.killTest(i)
		if refused != "" {
			c.Fail(refused)
			return nil, false
		}
		tests = append(tests, test)
	}
	return func(o *client) bool {
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

// killTest returns what the filter at argument i, with its value behind it, asks of a client, or why it asks nothing.
func (c *client) killTest(i int) (test func(*client) bool, refused string) {
	v := string(c.Args[i+1])
	switch {
	case c.Is(i, "id"):
		id, ok := resp.ParseInt(c.Args[i+1])
		if !ok || id < 1 {
			return nil, "ERR client-id should be greater than 0"
		}
		return func(o *client) bool { return o.ID == id }, ""
	case c.Is(i, "addr"):
		return func(o *client) bool { return o.Addr == v }, ""
	case c.Is(i, "laddr"):
		return func(o *client) bool { return o.laddr == v }, ""
	case c.Is(i, "type"):
		kind, ok := clientType(c.Args[i+1])
		if !ok {
			return nil, "ERR Unknown client type '" + engine.Quoted([]byte(v)) + "'"
		}
		return func(o *client) bool { return o.kind() == kind }, ""
	case c.Is(i, "user"):
		u := c.s.users.Find(v)
		if u == nil {
			return nil, "ERR No such user '" + v + "'"
		}
		return func(o *client) bool { return o.who.Is(u) }, ""
	}
	return nil, engine.ErrSyntax
}

func cmdClientPause(c *client) {
	all := true
	if len(c.Args) == 4 {
		switch {
		case c.Is(3, "write"):
			all = false
		case !c.Is(3, "all"):
			c.Fail("ERR CLIENT PAUSE mode must be WRITE or ALL")
			return
		}
	} else if len(c.Args) > 4 {
		c.FailSubcommand()
		return
	}
	ms, ok := c.MillisArg(2)
	if !ok {
		return
	}
	p := c.s.eng.PausedBy(engine.ByClient) // a pause under way is never shortened or weakened
	if p.UntilMs > c.s.eng.NowMs {
		all = all || p.All
	}
	c.s.eng.SetPause(engine.ByClient, engine.Pause{UntilMs: max(p.UntilMs, c.s.eng.NowMs+ms), All: all}) // beyond the end of time there is no pause, as in Redis
	c.Reply.OK()
}

func cmdClientUnpause(c *client) {
	c.s.eng.SetPause(engine.ByClient, engine.Pause{})
	c.Reply.OK()
}

func cmdClientReply(c *client) {
	switch {
	case c.Is(2, "on"):
		c.Mode &^= engine.ModeReplyOff
		c.MuteOnce = 0
		c.Reply.OK()
	case c.Is(2, "off"):
		c.Mode |= engine.ModeReplyOff
	case c.Is(2, "skip"):
		if !c.Has(engine.ModeReplyOff) {
			c.MuteOnce = 2 // this one's and the next one's
		}
	default:
		c.Fail(engine.ErrSyntax)
	}
}

func cmdClientNoEvict(c *client) { c.onOff(&c.evictExempt) }
func cmdClientNoTouch(c *client) { c.onOff(&c.Exempt) }

func (c *client) onOff(v *bool) {
	switch {
	case c.Is(2, "on"):
		*v = true
	case c.Is(2, "off"):
		*v = false
	default:
		c.Fail(engine.ErrSyntax)
		return
	}
	c.Reply.OK()
}

func cmdClientUnblock(c *client) {
	withError := false
	if len(c.Args) == 4 {
		switch {
		case c.Is(3, "error"):
			withError = true
		case !c.Is(3, "timeout"):
			c.Fail("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
			return
		}
	}
	id, ok := c.IntArg(2)
	if !ok {
		return
	}
	o := c.s.clients[id]
	if o == nil || o.Blocked == nil || o.Blocked.Paused || o.Blocked.Expire == nil {
		c.Reply.Int(0)
		return
	}
	b := o.Blocked
	c.s.eng.EndWait(&o.Session, func() {
		if withError {
			o.Fail("UNBLOCKED client unblocked via CLIENT UNBLOCK")
		} else {
			b.Expire(&o.Call)
		}
	})
	if withError {
		c.CountAsFailed() // an error reply counts for the command that made it, as in Redis
	}
	c.s.eng.AccountWait(&o.Session, b, true)
	c.Reply.Int(1)
}

func cmdClientHelp(c *client) {
	c.Help(
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
		"TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]", "         [OPTIN] [OPTOUT] [NOLOOP]", "    Control server assisted client side caching.",
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
