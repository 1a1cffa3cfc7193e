package server

import (
	"encoding/binary"
	"strings"

	"byor/pkg/rdb"
)

// Commands of features that are not here: cluster, modules, functions. A client asks about them
// before it uses them, so they answer what a Redis answers that was built or configured without the
// feature. What cannot be done is refused. The list in the README of step 10 names the features.

func init() {
	register("cluster", []Command{
		{Name: "asking", Arity: 1, Flags: Fast, Group: "cluster", Handler: noCluster},
		{Name: "readonly", Arity: 1, Flags: Fast | Loading | Stale, Handler: noCluster},
		{Name: "readwrite", Arity: 1, Flags: Fast | Loading | Stale, Handler: noCluster},
		{Name: "cluster", Arity: -2, Sub: clusterCommands()},
	})
	register("server", []Command{
		{Name: "module", Arity: -2, Sub: []*Command{
			{Name: "help", Arity: 2, Flags: Loading | Stale, Handler: cmdModuleHelp},
			{Name: "list", Arity: 2, Flags: Admin | NoScript, Handler: func(c *Client) { c.w.Array(0) }},
			{Name: "load", Arity: -3, Flags: Admin | NoScript | NoAsyncLoading | Protected, Handler: noModules},
			{Name: "loadex", Arity: -3, Flags: Admin | NoScript | NoAsyncLoading | Protected, Handler: noModules},
			{Name: "unload", Arity: 3, Flags: Admin | NoScript | NoAsyncLoading | Protected, Handler: noModules},
		}},
	})
	const call = NoScript | Stale | SkipMonitor | NoMandatoryKeys | MovableKeys
	register("scripting", []Command{
		{Name: "fcall", Arity: -3, Flags: call, KeysOf: numKeys(2), Handler: noFunction},
		{Name: "fcall_ro", Arity: -3, Flags: call | ReadOnly, KeysOf: numKeys(2), Handler: noFunction},
		{Name: "function", Arity: -2, Sub: []*Command{
			{Name: "delete", Arity: 3, Flags: Write | NoScript, Handler: func(c *Client) { c.fail("ERR Library not found") }},
			{Name: "dump", Arity: 2, Flags: NoScript, Handler: cmdFunctionDump},
			{Name: "flush", Arity: -2, Flags: Write | NoScript, Handler: cmdFunctionFlush},
			{Name: "help", Arity: 2, Flags: Loading | Stale, Handler: cmdFunctionHelp},
			{Name: "kill", Arity: 2, Flags: NoScript | AllowBusy, Handler: func(c *Client) { c.fail("NOTBUSY No scripts in execution right now.") }},
			{Name: "list", Arity: -2, Flags: NoScript, Handler: cmdFunctionList},
			{Name: "load", Arity: -3, Flags: Write | DenyOOM | NoScript, Handler: cmdFunctionLoad},
			{Name: "restore", Arity: -3, Flags: Write | DenyOOM | NoScript, Handler: cmdFunctionRestore},
			{Name: "stats", Arity: 2, Flags: NoScript | AllowBusy, Handler: cmdFunctionStats},
		}},
	})
}

// clusterCommands are the subcommands of CLUSTER. All of them answer alike.
func clusterCommands() []*Command {
	const change = Admin | Stale | NoAsyncLoading
	cmds := []*Command{
		{Name: "addslots", Arity: -3, Flags: change},
		{Name: "addslotsrange", Arity: -4, Flags: change},
		{Name: "bumpepoch", Arity: 2, Flags: change},
		{Name: "count-failure-reports", Arity: 3, Flags: Admin | Stale},
		{Name: "countkeysinslot", Arity: 3, Flags: Stale},
		{Name: "delslots", Arity: -3, Flags: change},
		{Name: "delslotsrange", Arity: -4, Flags: change},
		{Name: "failover", Arity: -2, Flags: change},
		{Name: "flushslots", Arity: 2, Flags: change},
		{Name: "forget", Arity: 3, Flags: change},
		{Name: "getkeysinslot", Arity: 4, Flags: Stale},
		{Name: "help", Arity: 2, Flags: Loading | Stale},
		{Name: "info", Arity: 2, Flags: Stale},
		{Name: "keyslot", Arity: 3, Flags: Stale},
		{Name: "links", Arity: 2, Flags: Stale},
		{Name: "meet", Arity: -4, Flags: change},
		{Name: "myid", Arity: 2, Flags: Stale},
		{Name: "nodes", Arity: 2, Flags: Stale},
		{Name: "replicas", Arity: 3, Flags: Admin | Stale},
		{Name: "replicate", Arity: 3, Flags: change},
		{Name: "reset", Arity: -2, Flags: Admin | NoScript | Stale},
		{Name: "saveconfig", Arity: 2, Flags: change},
		{Name: "set-config-epoch", Arity: 3, Flags: change},
		{Name: "setslot", Arity: -4, Flags: change},
		{Name: "shards", Arity: 2, Flags: Stale},
		{Name: "slaves", Arity: 3, Flags: Admin | Stale},
		{Name: "slots", Arity: 2, Flags: Stale},
	}
	for _, cmd := range cmds {
		cmd.Handler = noCluster
	}
	return cmds
}

func noCluster(c *Client) { c.fail("ERR This instance has cluster support disabled") }

// noModules answers whoever may load modules, all others were refused before: there is no such module.
func noModules(c *Client) {
	if c.is(1, "unload") {
		c.fail("ERR Error unloading module: no such module with that name")
		return
	}
	c.s.logf(LevelWarning, "Module %s failed to load: this server runs no modules", clip(c.args[2], 128))
	c.fail("ERR Error loading the extension. Please check the server logs.")
}

func cmdModuleHelp(c *Client) {
	c.help(
		"LIST", "    Return a list of loaded modules.",
		"LOAD <path> [<arg> ...]", "    Load a module library from <path>, passing to it any optional arguments.",
		"LOADEX <path> [[CONFIG NAME VALUE] [CONFIG NAME VALUE]] [ARGS ...]", "    Load a module library from <path>, while passing it module configurations and optional arguments.",
		"UNLOAD <name>", "    Unload a module.",
	)
}

// Functions. There is no engine that could run one, so there is no library either.

func noFunction(c *Client) { c.fail("ERR Function not found") }

// noEngine refuses a library as a Redis does that lacks the engine that the library names.
func (c *Client) noEngine(name string) { c.fail("ERR Engine '" + name + "' not found") }

// cmdFunctionDump replies no library: nothing but the footer of DUMP.
func cmdFunctionDump(c *Client) {
	b := binary.LittleEndian.AppendUint16(nil, rdb.Version)
	c.w.Bulk(binary.LittleEndian.AppendUint64(b, rdb.CRC64(0, b)))
}

// cmdFunctionRestore takes a payload without libraries.
func cmdFunctionRestore(c *Client) {
	if len(c.args) > 4 {
		c.failSubcommand()
		return
	}
	if len(c.args) == 4 && !c.is(3, "flush") && !c.is(3, "append") && !c.is(3, "replace") {
		c.fail("ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.")
		return
	}
	const library, oldLibrary = 245, 246 // the opcodes of a snapshot
	content, ok := rdb.CheckFooter(c.args[2])
	switch {
	case !ok:
		c.fail("ERR " + rdb.ErrBadPayload.Error())
	case len(content) == 0:
		c.w.OK()
	case content[0] == library || content[0] == oldLibrary:
		c.noEngine("LUA")
	default:
		c.fail("ERR given type is not a function")
	}
}

func cmdFunctionFlush(c *Client) {
	switch {
	case len(c.args) > 3:
		c.failSubcommand()
	case len(c.args) == 3 && !c.is(2, "sync") && !c.is(2, "async"):
		c.fail("ERR FUNCTION FLUSH only supports SYNC|ASYNC option")
	default:
		c.w.OK()
	}
}

func cmdFunctionList(c *Client) {
	code, pattern := false, false
	for i := 2; i < len(c.args); i++ {
		switch {
		case !code && c.is(i, "withcode"):
			code = true
		case !pattern && c.is(i, "libraryname"):
			if i++; i == len(c.args) {
				c.fail("ERR library name argument was not given")
				return
			}
			pattern = true
		default:
			c.fail("ERR Unknown argument " + string(c.args[i]))
			return
		}
	}
	c.w.Array(0)
}

// cmdFunctionLoad says that the library's engine is not here, or what is wrong with its first line.
func cmdFunctionLoad(c *Client) {
	for i := 2; i < len(c.args)-1; i++ {
		if !c.is(i, "replace") {
			c.fail("ERR Unknown option given: " + string(c.args[i]))
			return
		}
	}
	first, ok := strings.CutPrefix(string(c.args[len(c.args)-1]), "#!")
	if !ok {
		c.fail("ERR Missing library metadata")
		return
	}
	first, _, ok = strings.Cut(first, "\n")
	if !ok {
		c.fail("ERR Invalid library metadata")
		return
	}
	engine, rest, _ := strings.Cut(first, " ")
	name := ""
	for _, word := range strings.Fields(rest) {
		value, ok := strings.CutPrefix(word, "name=")
		switch {
		case !ok:
			c.fail("ERR Invalid metadata value given: " + word)
			return
		case name != "":
			c.fail("ERR Invalid metadata value, name argument was given multiple times")
			return
		}
		name = value
	}
	switch {
	case name == "":
		c.fail("ERR Library name was not given")
	case !isLibraryName(name):
		c.fail("ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long")
	default:
		c.noEngine(engine)
	}
}

func isLibraryName(name string) bool {
	for _, ch := range []byte(name) {
		if ch != '_' && (ch < '0' || ch > '9') && (ch|0x20 < 'a' || ch|0x20 > 'z') {
			return false
		}
	}
	return true
}

// cmdFunctionStats replies that nothing runs, and that there is no engine.
func cmdFunctionStats(c *Client) {
	c.w.Map(2)
	c.w.BulkString("running_script")
	c.w.Null()
	c.w.BulkString("engines")
	c.w.Map(0)
}

func cmdFunctionHelp(c *Client) {
	c.help(
		"LOAD [REPLACE] <FUNCTION CODE>", "    Create a new library with the given library name and code.",
		"DELETE <LIBRARY NAME>", "    Delete the given library.",
		"LIST [LIBRARYNAME PATTERN] [WITHCODE]", "    Return general information on all the libraries:", "    * Library name", "    * The engine used to run the Library", "    * Library description", "    * Functions list", "    * Library code (if WITHCODE is given)", "    It also possible to get only function that matches a pattern using LIBRARYNAME argument.",
		"STATS", "    Return information about the current function running:", "    * Function name", "    * Command used to run the function", "    * Duration in MS that the function is running", "    If no function is running, return nil", "    In addition, returns a list of available engines.",
		"KILL", "    Kill the current running function.",
		"FLUSH [ASYNC|SYNC]", "    Delete all the libraries.", "    When called without the optional mode argument, the behavior is determined by the", "    lazyfree-lazy-user-flush configuration directive. Valid modes are:", "    * ASYNC: Asynchronously flush the libraries.", "    * SYNC: Synchronously flush the libraries.",
		"DUMP", "    Return a serialized payload representing the current libraries, can be restored using FUNCTION RESTORE command",
		"RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]", "    Restore the libraries represented by the given payload, it is possible to give a restore policy to", "    control how to handle existing libraries (default APPEND):", "    * FLUSH: delete all existing libraries.", "    * APPEND: appends the restored libraries to the existing libraries. On collision, abort.", "    * REPLACE: appends the restored libraries to the existing libraries, On collision, replace the old", "      libraries with the new libraries (notice that even on this option there is a chance of failure", "      in case of functions name collision with another library).",
	)
}
