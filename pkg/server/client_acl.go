package server

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"byor/pkg/engine"
	"byor/pkg/introspect"
)

// There is one user, default, who may do everything once the password (requirepass) is given. The ACL
// commands that client libraries and tools ask on connect say so in Redis's terms.

func init() {
	const f = engine.NoScript | engine.Loading | engine.Stale
	engine.Register("server", []engine.Command{
		{Name: "acl", Arity: -2, Sub: []*engine.Command{
			{Name: "cat", Arity: -2, Flags: f, Handler: by(cmdACLCat)},
			{Name: "deluser", Arity: -3, Flags: f | engine.Admin, Handler: by(cmdACLDeluser)},
			{Name: "dryrun", Arity: -4, Flags: f | engine.Admin, Handler: by(cmdACLDryrun)},
			{Name: "genpass", Arity: -2, Flags: f, Handler: by(cmdACLGenpass)},
			{Name: "getuser", Arity: 3, Flags: f | engine.Admin, Handler: by(cmdACLGetuser)},
			{Name: "help", Arity: 2, Flags: engine.Loading | engine.Stale, Handler: by(cmdACLHelp)},
			{Name: "list", Arity: 2, Flags: f | engine.Admin, Handler: by(cmdACLList)},
			{Name: "load", Arity: 2, Flags: f | engine.Admin, Handler: by(noACLFile)},
			{Name: "log", Arity: -2, Flags: f | engine.Admin, Handler: by(cmdACLLog)},
			{Name: "save", Arity: 2, Flags: f | engine.Admin, Handler: by(noACLFile)},
			{Name: "users", Arity: 2, Flags: f | engine.Admin, Handler: by(cmdACLUsers)},
			{Name: "whoami", Arity: 2, Flags: f, Handler: by(cmdACLWhoami)},
		}},
	})
}

// noACLFile is what a Redis says that keeps its users elsewhere.
func noACLFile(c *client) {
	c.Fail("ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.")
}

// cmdACLDeluser finds nobody: there is no user but the one that cannot be removed.
func cmdACLDeluser(c *client) {
	for _, name := range c.Args[2:] {
		if string(name) == "default" {
			c.Fail("ERR The 'default' user cannot be removed")
			return
		}
	}
	c.Reply.Int(0)
}

// cmdACLDryrun says what the user may do, which is every command.
func cmdACLDryrun(c *client) {
	if string(c.Args[2]) != "default" {
		c.Fail("ERR User '" + engine.Quoted(c.Args[2]) + "' not found")
		return
	}
	args := c.Args[3:]
	switch cmd := c.s.eng.Lookup(args); {
	case cmd == nil:
		c.Fail("ERR Command '" + engine.Quoted(args[0]) + "' not found")
	case !cmd.Takes(len(args)):
		c.Fail("ERR wrong number of arguments for '" + cmd.FullName() + "' command")
	default:
		c.Reply.OK()
	}
}

// aclCategories are Redis's, in its order.
var aclCategories = []string{
	"keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo", "stream",
	"pubsub", "admin", "fast", "slow", "blocking", "dangerous", "connection", "transaction", "scripting",
}

func cmdACLCat(c *client) {
	if len(c.Args) > 3 {
		c.FailSubcommand()
		return
	}
	if len(c.Args) == 2 {
		c.bulkStrings(aclCategories)
		return
	}
	category := strings.ToLower(string(c.Args[2]))
	if !slices.Contains(aclCategories, category) {
		c.Fail("ERR Unknown category '" + engine.Quoted(c.Args[2]) + "'")
		return
	}
	var names []string
	for _, cmd := range c.s.eng.AllCommands() {
		if slices.Contains(introspect.FactsOf(cmd).Categories, "@"+category) {
			names = append(names, cmd.FullName())
		}
	}
	c.bulkStrings(names)
}

func (c *client) bulkStrings(list []string) {
	c.Reply.Array(len(list))
	for _, s := range list {
		c.Reply.BulkString(s)
	}
}

// cmdACLGenpass replies random bits in hexadecimal, four a digit.
func cmdACLGenpass(c *client) {
	bits := int64(256)
	if len(c.Args) > 3 {
		c.FailSubcommand()
		return
	}
	if len(c.Args) == 3 {
		var ok bool
		if bits, ok = c.IntArg(2); !ok {
			return
		}
		if bits <= 0 || bits > 4096 {
			c.Fail("ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096")
			return
		}
	}
	random := make([]byte, (bits+7)/8)
	rand.Read(random)
	c.Reply.BulkString(hex.EncodeToString(random)[:(bits+3)/4])
}

// passwords returns the hashes of the default user's passwords: one, or none if none is needed.
func (s *Server) passwords() []string {
	if s.cfg.RequirePass == "" {
		return nil
	}
	sum := sha256.Sum256([]byte(s.cfg.RequirePass))
	return []string{hex.EncodeToString(sum[:])}
}

func cmdACLGetuser(c *client) {
	if string(c.Args[2]) != "default" {
		c.Reply.Null()
		return
	}
	pass := c.s.passwords()
	flags := []string{"on"}
	if len(pass) == 0 {
		flags = append(flags, "nopass")
	}
	c.Reply.Map(6)
	c.Reply.BulkString("flags")
	c.Reply.Set(len(flags))
	for _, f := range flags {
		c.Reply.BulkString(f)
	}
	c.Reply.BulkString("passwords")
	c.bulkStrings(pass)
	for _, pair := range [][2]string{{"commands", "+@all"}, {"keys", "~*"}, {"channels", "&*"}} {
		c.Reply.BulkString(pair[0])
		c.Reply.BulkString(pair[1])
	}
	c.Reply.BulkString("selectors")
	c.Reply.Array(0)
}

func cmdACLList(c *client) {
	how := "nopass"
	for _, p := range c.s.passwords() {
		how = "#" + p
	}
	c.bulkStrings([]string{"user default on " + how + " ~* &* +@all"})
}

// cmdACLLog replies no entry: who is let in at all may do everything.
func cmdACLLog(c *client) {
	switch {
	case len(c.Args) > 3:
		c.FailSubcommand()
		return
	case len(c.Args) == 3 && c.Is(2, "reset"):
		c.Reply.OK()
		return
	case len(c.Args) == 3:
		if _, ok := c.IntArg(2); !ok {
			return
		}
	}
	c.Reply.Array(0)
}

func cmdACLUsers(c *client)  { c.bulkStrings([]string{"default"}) }
func cmdACLWhoami(c *client) { c.Reply.BulkString(c.user) }

func cmdACLHelp(c *client) {
	c.Help(
		"CAT [<category>]", "    List all commands that belong to <category>, or all command categories", "    when no category is specified.",
		"DELUSER <username> [<username> ...]", "    Delete a list of users.",
		"DRYRUN <username> <command> [<arg> ...]", "    Returns whether the user can execute the given command without executing the command.",
		"GETUSER <username>", "    Get the user's details.",
		"GENPASS [<bits>]", "    Generate a secure 256-bit user password. The optional `bits` argument can", "    be used to specify a different size.",
		"LIST", "    Show users details in config file format.",
		"LOAD", "    Reload users from the ACL file.",
		"LOG [<count> | RESET]", "    Show the ACL log entries.",
		"SAVE", "    Save the current config to the ACL file.",
		"USERS", "    List all the registered usernames.",
		"WHOAMI", "    Return the current connection username.",
	)
}
