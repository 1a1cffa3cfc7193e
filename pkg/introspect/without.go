package introspect

import (
	"encoding/binary"
	"strings"

	"byor/pkg/engine"
	"byor/pkg/rdb"
)

// Commands of features that are not here: cluster, modules, functions. A client asks about them
// before it uses them, so they answer what a Redis answers that was built or configured without the
// feature. What cannot be done is refused. The list in the README of step 10 names the features.

func init() {
	engine.Register("cluster", []engine.Command{
		{Name: "asking", Arity: 1, Flags: engine.Fast, Group: "cluster", Handler: noCluster},
		{Name: "readonly", Arity: 1, Flags: engine.Fast | engine.Loading | engine.Stale, Handler: noCluster},
		{Name: "readwrite", Arity: 1, Flags: engine.Fast | engine.Loading | engine.Stale, Handler: noCluster},
		{Name: "cluster", Arity: -2, Sub: clusterCommands()},
	})
	engine.Register("server", []engine.Command{
		{Name: "module", Arity: -2, Sub: []*engine.Command{
			{Name: "help", Arity: 2, Flags: engine.Loading | engine.Stale, Handler: cmdModuleHelp},
			{Name: "list", Arity: 2, Flags: engine.Admin | engine.NoScript, Handler: func(c *engine.Call) { c.Reply.Array(0) }},
			{Name: "load", Arity: -3, Flags: engine.Admin | engine.NoScript | engine.NoAsyncLoading | engine.Protected, Handler: noModules},
			{Name: "loadex", Arity: -3, Flags: engine.Admin | engine.NoScript | engine.NoAsyncLoading | engine.Protected, Handler: noModules},
			{Name: "unload", Arity: 3, Flags: engine.Admin | engine.NoScript | engine.NoAsyncLoading | engine.Protected, Handler: noModules},
		}},
	})
	const call = engine.NoScript | engine.Stale | engine.SkipMonitor | engine.NoMandatoryKeys | engine.MovableKeys
	engine.Register("scripting", []engine.Command{
		{Name: "fcall", Arity: -3, Flags: call, KeysOf: engine.NumKeys(2), Handler: noFunction},
		{Name: "fcall_ro", Arity: -3, Flags: call | engine.ReadOnly, KeysOf: engine.NumKeys(2), Handler: noFunction},
		{Name: "function", Arity: -2, Sub: []*engine.Command{
			{Name: "delete", Arity: 3, Flags: engine.Write | engine.NoScript, Handler: func(c *engine.Call) { c.Fail("ERR Library not found") }},
			{Name: "dump", Arity: 2, Flags: engine.NoScript, Handler: cmdFunctionDump},
			{Name: "flush", Arity: -2, Flags: engine.Write | engine.NoScript, Handler: cmdFunctionFlush},
			{Name: "help", Arity: 2, Flags: engine.Loading | engine.Stale, Handler: cmdFunctionHelp},
			{Name: "kill", Arity: 2, Flags: engine.NoScript | engine.AllowBusy, Handler: func(c *engine.Call) { c.Fail("NOTBUSY No scripts in execution right now.") }},
			{Name: "list", Arity: -2, Flags: engine.NoScript, Handler: cmdFunctionList},
			{Name: "load", Arity: -3, Flags: engine.Write | engine.DenyOOM | engine.NoScript, Handler: cmdFunctionLoad},
			{Name: "restore", Arity: -3, Flags: engine.Write | engine.DenyOOM | engine.NoScript, Handler: cmdFunctionRestore},
			{Name: "stats", Arity: 2, Flags: engine.NoScript | engine.AllowBusy, Handler: cmdFunctionStats},
		}},
	})
}

// clusterCommands are the subcommands of CLUSTER. All of them answer alike.
func clusterCommands() []*engine.Command {
	const change = engine.Admin | engine.Stale | engine.NoAsyncLoading
	cmds := []*engine.Command{
		{Name: "addslots", Arity: -3, Flags: change},
		{Name: "addslotsrange", Arity: -4, Flags: change},
		{Name: "bumpepoch", Arity: 2, Flags: change},
		{Name: "count-failure-reports", Arity: 3, Flags: engine.Admin | engine.Stale},
		{Name: "countkeysinslot", Arity: 3, Flags: engine.Stale},
		{Name: "delslots", Arity: -3, Flags: change},
		{Name: "delslotsrange", Arity: -4, Flags: change},
		{Name: "failover", Arity: -2, Flags: change},
		{Name: "flushslots", Arity: 2, Flags: change},
		{Name: "forget", Arity: 3, Flags: change},
		{Name: "getkeysinslot", Arity: 4, Flags: engine.Stale},
		{Name: "help", Arity: 2, Flags: engine.Loading | engine.Stale},
		{Name: "info", Arity: 2, Flags: engine.Stale},
		{Name: "keyslot", Arity: 3, Flags: engine.Stale},
		{Name: "links", Arity: 2, Flags: engine.Stale},
		{Name: "meet", Arity: -4, Flags: change},
		{Name: "myid", Arity: 2, Flags: engine.Stale},
		{Name: "nodes", Arity: 2, Flags: engine.Stale},
		{Name: "replicas", Arity: 3, Flags: engine.Admin | engine.Stale},
		{Name: "replicate", Arity: 3, Flags: change},
		{Name: "reset", Arity: -2, Flags: engine.Admin | engine.NoScript | engine.Stale},
		{Name: "saveconfig", Arity: 2, Flags: change},
		{Name: "set-config-epoch", Arity: 3, Flags: change},
		{Name: "setslot", Arity: -4, Flags: change},
		{Name: "shards", Arity: 2, Flags: engine.Stale},
		{Name: "slaves", Arity: 3, Flags: engine.Admin | engine.Stale},
		{Name: "slots", Arity: 2, Flags: engine.Stale},
	}
	for _, cmd := range cmds {
		cmd.Handler = noCluster
	}
	return cmds
}

func noCluster(c *engine.Call) { c.Fail("ERR This instance has cluster support disabled") }

// noModules answers whoever may load modules, all others were refused before: there is no such module.
func noModules(c *engine.Call) {
	if c.Is(1, "unload") {
		c.Fail("ERR Error unloading module: no such module with that name")
		return
	}
	c.Engine().Warn("Module %s failed to load: this server runs no modules", engine.Clip(c.Args[2], 128))
	c.Fail("ERR Error loading the extension. Please check the server logs.")
}

func cmdModuleHelp(c *engine.Call) {
	c.Help(
		"LIST", "    Return a list of loaded modules.",
		"LOAD <path> [<arg> ...]", "    Load a module library from <path>, passing to it any optional arguments.",
		"LOADEX <path> [[CONFIG NAME VALUE] [CONFIG NAME VALUE]] [ARGS ...]", "    Load a module library from <path>, while passing it module configurations and optional arguments.",
		"UNLOAD <name>", "    Unload a module.",
	)
}

// Functions. There is no engine that could run one, so there is no library either.

func noFunction(c *engine.Call) { c.Fail("ERR Function not found") }

// noEngine refuses a library as a Redis does that lacks the engine that the library names.
func noEngine(c *engine.Call, name string) { c.Fail("ERR Engine '" + name + "' not found") }

// cmdFunctionDump replies no library: nothing but the footer of DUMP.
func cmdFunctionDump(c *engine.Call) {
	b := binary.LittleEndian.AppendUint16(nil, rdb.Version)
	c.Reply.Bulk(binary.LittleEndian.AppendUint64(b, rdb.CRC64(0, b)))
}

// cmdFunctionRestore takes a payload without libraries.
func cmdFunctionRestore(c *engine.Call) {
	if len(c.Args) > 4 {
		c.FailSubcommand()
		return
	}
	if len(c.Args) == 4 && !c.Is(3, "flush") && !c.Is(3, "append") && !c.Is(3, "replace") {
		c.Fail("ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.")
		return
	}
	const library, oldLibrary = 245, 246 // the opcodes of a snapshot
	content, ok := rdb.CheckFooter(c.Args[2])
	switch {
	case !ok:
		c.Fail("ERR " + rdb.ErrBadPayload.Error())
	case len(content) == 0:
		c.Reply.OK()
	case content[0] == library || content[0] == oldLibrary:
		noEngine(c, "LUA")
	default:
		c.Fail("ERR given type is not a function")
	}
}

func cmdFunctionFlush(c *engine.Call) {
	switch {
	case len(c.Args) > 3:
		c.FailSubcommand()
	case len(c.Args) == 3 && !c.Is(2, "sync") && !c.Is(2, "async"):
		c.Fail("ERR FUNCTION FLUSH only supports SYNC|ASYNC option")
	default:
		c.Reply.OK()
	}
}

func cmdFunctionList(c *engine.Call) {
	code, pattern := false, false
	for i := 2; i < len(c.Args); i++ {
		switch {
		case !code && c.Is(i, "withcode"):
			code = true
		case !pattern && c.Is(i, "libraryname"):
			if i++; i == len(c.Args) {
				c.Fail("ERR library name argument was not given")
				return
			}
			pattern = true
		default:
			c.Fail("ERR Unknown argument " + string(c.Args[i]))
			return
		}
	}
	c.Reply.Array(0)
}

// cmdFunctionLoad says that the library's engine is not here, or what is wrong with its first line.
func cmdFunctionLoad(c *engine.Call) {
	for i := 2; i < len(c.Args)-1; i++ {
		if !c.Is(i, "replace") {
			c.Fail("ERR Unknown option given: " + string(c.Args[i]))
			return
		}
	}
	first, ok := strings.CutPrefix(string(c.Args[len(c.Args)-1]), "#!")
	if !ok {
		c.Fail("ERR Missing library metadata")
		return
	}
	first, _, ok = strings.Cut(first, "\n")
	if !ok {
		c.Fail("ERR Invalid library metadata")
		return
	}
	engine, rest, _ := strings.Cut(first, " ")
	name := ""
	for _, word := range strings.Fields(rest) {
		value, ok := strings.CutPrefix(word, "name=")
		switch {
		case !ok:
			c.Fail("ERR Invalid metadata value given: " + word)
			return
		case name != "":
			c.Fail("ERR Invalid metadata value, name argument was given multiple times")
			return
		}
		name = value
	}
	switch {
	case name == "":
		c.Fail("ERR Library name was not given")
	case !isLibraryName(name):
		c.Fail("ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long")
	default:
		noEngine(c, engine)
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
func cmdFunctionStats(c *engine.Call) {
	c.Reply.Map(2)
	c.Reply.BulkString("running_script")
	c.Reply.Null()
	c.Reply.BulkString("engines")
	c.Reply.Map(0)
}

func cmdFunctionHelp(c *engine.Call) {
	c.Help(
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
