package introspect

import "byor/pkg/engine"

// Commands of features that are not here: cluster, modules. A client asks about them
// before it uses them, so they answer what a Redis answers that was built or configured without the
// feature. What cannot be done is refused. The list in step 10's ENGINE.md names the features.

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
