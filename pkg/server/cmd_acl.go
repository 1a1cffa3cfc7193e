package server

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// There is one user, default, who may do everything once the password (requirepass) is given. The ACL
// commands that client libraries and tools ask on connect say so in Redis's terms.

func init() {
	const f = NoScript | Loading | Stale
	register("server", []Command{
		{Name: "acl", Arity: -2, Sub: []*Command{
			{Name: "cat", Arity: -2, Flags: f, Handler: cmdACLCat},
			{Name: "deluser", Arity: -3, Flags: f | Admin, Handler: cmdACLDeluser},
			{Name: "dryrun", Arity: -4, Flags: f | Admin, Handler: cmdACLDryrun},
			{Name: "genpass", Arity: -2, Flags: f, Handler: cmdACLGenpass},
			{Name: "getuser", Arity: 3, Flags: f | Admin, Handler: cmdACLGetuser},
			{Name: "help", Arity: 2, Flags: Loading | Stale, Handler: cmdACLHelp},
			{Name: "list", Arity: 2, Flags: f | Admin, Handler: cmdACLList},
			{Name: "load", Arity: 2, Flags: f | Admin, Handler: noACLFile},
			{Name: "log", Arity: -2, Flags: f | Admin, Handler: cmdACLLog},
			{Name: "save", Arity: 2, Flags: f | Admin, Handler: noACLFile},
			{Name: "users", Arity: 2, Flags: f | Admin, Handler: cmdACLUsers},
			{Name: "whoami", Arity: 2, Flags: f, Handler: cmdACLWhoami},
		}},
	})
}

// noACLFile is what a Redis says that keeps its users elsewhere.
func noACLFile(c *Client) {
	c.fail("ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.")
}

// cmdACLDeluser finds nobody: there is no user but the one that cannot be removed.
func cmdACLDeluser(c *Client) {
	for _, name := range c.args[2:] {
		if string(name) == "default" {
			c.fail("ERR The 'default' user cannot be removed")
			return
		}
	}
	c.w.Int(0)
}

// cmdACLDryrun says what the user may do, which is every command.
func cmdACLDryrun(c *Client) {
	if string(c.args[2]) != "default" {
		c.fail("ERR User '" + quoted(c.args[2]) + "' not found")
		return
	}
	args := c.args[3:]
	switch cmd := c.s.lookupCommand(args); {
	case cmd == nil:
		c.fail("ERR Command '" + quoted(args[0]) + "' not found")
	case !cmd.takes(len(args)):
		c.fail("ERR wrong number of arguments for '" + cmd.full + "' command")
	default:
		c.w.OK()
	}
}

// aclCategories are Redis's, in its order.
var aclCategories = []string{
	"keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo", "stream",
	"pubsub", "admin", "fast", "slow", "blocking", "dangerous", "connection", "transaction", "scripting",
}

func cmdACLCat(c *Client) {
	if len(c.args) > 3 {
		c.failSubcommand()
		return
	}
	if len(c.args) == 2 {
		c.bulkStrings(aclCategories)
		return
	}
	category := strings.ToLower(string(c.args[2]))
	if !slices.Contains(aclCategories, category) {
		c.fail("ERR Unknown category '" + quoted(c.args[2]) + "'")
		return
	}
	var names []string
	for _, cmd := range c.s.allCommands() {
		if slices.Contains(cmd.facts().Categories, "@"+category) {
			names = append(names, cmd.full)
		}
	}
	c.bulkStrings(names)
}

func (c *Client) bulkStrings(list []string) {
	c.w.Array(len(list))
	for _, s := range list {
		c.w.BulkString(s)
	}
}

// cmdACLGenpass replies random bits in hexadecimal, four a digit.
func cmdACLGenpass(c *Client) {
	bits := int64(256)
	if len(c.args) > 3 {
		c.failSubcommand()
		return
	}
	if len(c.args) == 3 {
		var ok bool
		if bits, ok = c.intArg(2); !ok {
			return
		}
		if bits <= 0 || bits > 4096 {
			c.fail("ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096")
			return
		}
	}
	random := make([]byte, (bits+7)/8)
	rand.Read(random)
	c.w.BulkString(hex.EncodeToString(random)[:(bits+3)/4])
}

// passwords returns the hashes of the default user's passwords: one, or none if none is needed.
func (s *Server) passwords() []string {
	if s.cfg.RequirePass == "" {
		return nil
	}
	sum := sha256.Sum256([]byte(s.cfg.RequirePass))
	return []string{hex.EncodeToString(sum[:])}
}

func cmdACLGetuser(c *Client) {
	if string(c.args[2]) != "default" {
		c.w.Null()
		return
	}
	pass := c.s.passwords()
	flags := []string{"on"}
	if len(pass) == 0 {
		flags = append(flags, "nopass")
	}
	c.w.Map(6)
	c.w.BulkString("flags")
	c.w.Set(len(flags))
	for _, f := range flags {
		c.w.BulkString(f)
	}
	c.w.BulkString("passwords")
	c.bulkStrings(pass)
	for _, pair := range [][2]string{{"commands", "+@all"}, {"keys", "~*"}, {"channels", "&*"}} {
		c.w.BulkString(pair[0])
		c.w.BulkString(pair[1])
	}
	c.w.BulkString("selectors")
	c.w.Array(0)
}

func cmdACLList(c *Client) {
	how := "nopass"
	for _, p := range c.s.passwords() {
		how = "#" + p
	}
	c.bulkStrings([]string{"user default on " + how + " ~* &* +@all"})
}

// cmdACLLog replies no entry: who is let in at all may do everything.
func cmdACLLog(c *Client) {
	switch {
	case len(c.args) > 3:
		c.failSubcommand()
		return
	case len(c.args) == 3 && c.is(2, "reset"):
		c.w.OK()
		return
	case len(c.args) == 3:
		if _, ok := c.intArg(2); !ok {
			return
		}
	}
	c.w.Array(0)
}

func cmdACLUsers(c *Client)  { c.bulkStrings([]string{"default"}) }
func cmdACLWhoami(c *Client) { c.w.BulkString(c.user) }

func cmdACLHelp(c *Client) {
	c.help(
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
