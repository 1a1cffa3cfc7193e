package users

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"byor/pkg/acl"
	"byor/pkg/engine"
	"byor/pkg/introspect"
)

// The ACL commands: what users there are, what they may do, and what was denied them.

func init() {
	const f = engine.NoScript | engine.Loading | engine.Stale
	engine.Register("server", []engine.Command{
		{Name: "acl", Arity: -2, Sub: []*engine.Command{
			{Name: "cat", Arity: -2, Flags: f, Handler: by(cmdACLCat)},
			{Name: "deluser", Arity: -3, Flags: f | engine.Admin, Handler: by(cmdACLDeluser)},
			{Name: "dryrun", Arity: -4, Flags: f | engine.Admin, Handler: by(cmdACLDryrun)},
			{Name: "genpass", Arity: -2, Flags: f, Handler: cmdACLGenpass},
			{Name: "getuser", Arity: 3, Flags: f | engine.Admin, Handler: by(cmdACLGetuser)},
			{Name: "help", Arity: 2, Flags: engine.Loading | engine.Stale, Handler: cmdACLHelp},
			{Name: "list", Arity: 2, Flags: f | engine.Admin, Handler: by(cmdACLList)},
			{Name: "load", Arity: 2, Flags: f | engine.Admin, Handler: by(cmdACLLoad)},
			{Name: "log", Arity: -2, Flags: f | engine.Admin, Handler: by(cmdACLLog)},
			{Name: "save", Arity: 2, Flags: f | engine.Admin, Handler: by(cmdACLSave)},
			{Name: "setuser", Arity: -3, Flags: f | engine.Admin, Handler: by(cmdACLSetuser)},
			{Name: "users", Arity: 2, Flags: f | engine.Admin, Handler: by(cmdACLUsers)},
			{Name: "whoami", Arity: 2, Flags: f, Handler: cmdACLWhoami},
		}},
	})
}

// cmdACLSetuser changes a user, or makes one. Who listens to what the user may not hear any more is cut off.
func cmdACLSetuser(a *Accounts, c *engine.Call) {
	name := string(c.Args[2])
	rules := make([]string, len(c.Args)-3)
	for i := 2; i < len(c.Args); i++ {
		c.Hide(i)
		if i > 2 {
			rules[i-3] = string(c.Args[i])
		}
	}
	if !acl.ValidName(name) {
		c.Fail("ERR Usernames can't contain spaces or null characters")
		return
	}
	u := a.Find(name)
	next := a.Commands().NewUser(name)
	if u != nil {
		next.Become(u)
	}
	var wrong *acl.RuleError
	if err := next.Set(rules); errors.As(err, &wrong) {
		c.Fail("ERR Error in ACL SETUSER modifier '" + engine.Quoted([]byte(wrong.Rule)) + "': " + err.Error())
		return
	} else if err != nil {
		c.Fail("ERR " + err.Error())
		return
	}
	if u == nil {
		a.Add(next)
	} else {
		a.silence(u, next)
		u.Become(next)
		a.changed()
	}
	c.Reply.OK()
}

func cmdACLDeluser(a *Accounts, c *engine.Call) {
	var gone []*acl.User
	for _, name := range c.Args[2:] {
		if string(name) == acl.DefaultName {
			c.Fail("ERR The 'default' user cannot be removed")
			return
		}
	}
	for _, name := range c.Args[2:] {
		if u := a.Find(string(name)); u != nil {
			a.Remove(u.Name)
			gone = append(gone, u)
		}
	}
	a.dismiss(gone...)
	c.Reply.Int(int64(len(gone)))
}

// deniedInDryrun is what ACL DRYRUN replies.
var deniedInDryrun = map[acl.Denial]string{
	acl.DeniedCommand: "This user has no permissions to run the '%s' command",
	acl.DeniedKey:     "This user has no permissions to access the '%s' key",
	acl.DeniedChannel: "This user has no permissions to access the '%s' channel",
}

func cmdACLDryrun(a *Accounts, c *engine.Call) {
	u := a.Find(string(c.Args[2]))
	if u == nil {
		c.Fail("ERR User '" + engine.Quoted(c.Args[2]) + "' not found")
		return
	}
	args := c.Args[3:]
	cmd := a.eng.Lookup(args)
	switch {
	case cmd == nil:
		c.Fail("ERR Command '" + engine.Quoted(args[0]) + "' not found")
		return
	case !cmd.Takes(len(args)):
		c.Fail("ERR wrong number of arguments for '" + cmd.FullName() + "' command")
		return
	}
	what, at := a.lacks(u, cmd, args)
	if what == acl.Granted {
		c.Reply.OK()
		return
	}
	object := cmd.FullName()
	if what != acl.DeniedCommand {
		object = string(args[at])
	}
	c.Reply.BulkString(fmt.Sprintf(deniedInDryrun[what], object))
}

func cmdACLCat(a *Accounts, c *engine.Call) {
	if len(c.Args) > 3 {
		c.FailSubcommand()
		return
	}
	if len(c.Args) == 2 {
		bulkStrings(c, acl.Categories)
		return
	}
	category := strings.ToLower(string(c.Args[2]))
	if !slices.Contains(acl.Categories, category) {
		c.Fail("ERR Unknown category '" + engine.Quoted(c.Args[2]) + "'")
		return
	}
	var names []string
	for _, cmd := range a.eng.CountedCommands() {
		if slices.Contains(introspect.FactsOf(cmd).Categories, "@"+category) {
			names = append(names, cmd.FullName())
		}
	}
	bulkStrings(c, names)
}

func bulkStrings(c *engine.Call, list []string) {
	c.Reply.Array(len(list))
	for _, s := range list {
		c.Reply.BulkString(s)
	}
}

// cmdACLGenpass replies random bits in hexadecimal, four a digit.
func cmdACLGenpass(c *engine.Call) {
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

func cmdACLGetuser(a *Accounts, c *engine.Call) {
	u := a.Find(string(c.Args[2]))
	if u == nil {
		c.Reply.Null()
		return
	}
	flags, selectors := u.Flags(), u.Selectors()
	c.Reply.Map(6)
	c.Reply.BulkString("flags")
	c.Reply.Set(len(flags))
	for _, f := range flags {
		c.Reply.BulkString(f)
	}
	c.Reply.BulkString("passwords")
	bulkStrings(c, u.Passwords())
	replySelector(c, selectors[0])
	c.Reply.BulkString("selectors")
	c.Reply.Array(len(selectors) - 1)
	for _, words := range selectors[1:] {
		c.Reply.Map(3)
		replySelector(c, words)
	}
}

func replySelector(c *engine.Call, words acl.Words) {
	for _, pair := range [][2]string{{"commands", words.Commands}, {"keys", words.Keys}, {"channels", words.Channels}} {
		c.Reply.BulkString(pair[0])
		c.Reply.BulkString(pair[1])
	}
}

func cmdACLList(a *Accounts, c *engine.Call) { bulkStrings(c, a.Lines()) }

// cmdACLLog replies what was denied lately.
func cmdACLLog(a *Accounts, c *engine.Call) {
	count := int64(10)
	switch {
	case len(c.Args) > 3:
		c.FailSubcommand()
		return
	case len(c.Args) == 3 && c.Is(2, "reset"):
		a.denied.Reset()
		c.Reply.OK()
		return
	case len(c.Args) == 3:
		var ok bool
		if count, ok = c.IntArg(2); !ok {
			return
		}
	}
	entries := a.denied.Latest(count)
	c.Reply.Array(len(entries))
	for _, e := range entries {
		c.Reply.Map(7)
		c.Reply.BulkString("count")
		c.Reply.Int(e.Count)
		for _, pair := range [][2]string{{"reason", e.What.Reason()}, {"context", e.Context}, {"object", e.Object}, {"username", e.User}} {
			c.Reply.BulkString(pair[0])
			c.Reply.BulkString(pair[1])
		}
		c.Reply.BulkString("age-seconds")
		c.Reply.Double(float64(c.NowMs()-e.AtMs) / 1000)
		c.Reply.BulkString("client-info")
		c.Reply.BulkString(e.Client)
	}
}

func cmdACLUsers(a *Accounts, c *engine.Call) {
	users := a.Sorted()
	c.Reply.Array(len(users))
	for _, u := range users {
		c.Reply.BulkString(u.Name)
	}
}

func cmdACLWhoami(c *engine.Call) {
	u := loginOf(c.Session()).user
	if u == nil {
		c.Reply.Null()
		return
	}
	c.Reply.BulkString(u.Name)
}

func cmdACLHelp(c *engine.Call) {
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
		"SETUSER <username> <attribute> [<attribute> ...]", "    Create or modify a user with the specified attributes.",
		"USERS", "    List all the registered usernames.",
		"WHOAMI", "    Return the current connection username.",
	)
}
