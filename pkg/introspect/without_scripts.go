package introspect

import "byor/pkg/engine"

// Scripts. There is no interpreter, so none is ever stored or running: what asks about scripts gets the
// answer of a Redis that has none, and what brings one is refused.

func init() {
	const call = engine.NoScript | engine.Stale | engine.SkipMonitor | engine.NoMandatoryKeys | engine.MovableKeys
	engine.Register("scripting", []engine.Command{
		{Name: "eval", Arity: -3, Flags: call, KeysOf: engine.NumKeys(2), Handler: noScripts},
		{Name: "eval_ro", Arity: -3, Flags: call | engine.ReadOnly, KeysOf: engine.NumKeys(2), Handler: noScripts},
		{Name: "evalsha", Arity: -3, Flags: call, KeysOf: engine.NumKeys(2), Handler: noMatchingScript},
		{Name: "evalsha_ro", Arity: -3, Flags: call | engine.ReadOnly, KeysOf: engine.NumKeys(2), Handler: noMatchingScript},
		{Name: "script", Arity: -2, Sub: []*engine.Command{
			{Name: "debug", Arity: 3, Flags: engine.NoScript, Handler: noScripts},
			{Name: "exists", Arity: -3, Flags: engine.NoScript, Handler: cmdScriptExists},
			{Name: "flush", Arity: -2, Flags: engine.NoScript, Handler: cmdScriptFlush},
			{Name: "help", Arity: 2, Flags: engine.Loading | engine.Stale, Handler: cmdScriptHelp},
			{Name: "kill", Arity: 2, Flags: engine.NoScript | engine.AllowBusy, Handler: func(c *engine.Call) { c.Fail("NOTBUSY No scripts in execution right now.") }},
			{Name: "load", Arity: 3, Flags: engine.NoScript | engine.Stale, Handler: noScripts},
		}},
	})
}

func noScripts(c *engine.Call) { c.Fail("ERR scripts are not supported by this server") }

func noMatchingScript(c *engine.Call) { c.Fail("NOSCRIPT No matching script. Please use EVAL.") }

func cmdScriptExists(c *engine.Call) {
	c.Reply.Array(len(c.Args) - 2)
	for range c.Args[2:] {
		c.Reply.Int(0)
	}
}

func cmdScriptFlush(c *engine.Call) {
	if len(c.Args) > 3 || len(c.Args) == 3 && !c.Is(2, "sync") && !c.Is(2, "async") {
		c.Fail("ERR SCRIPT FLUSH only support SYNC|ASYNC option")
		return
	}
	c.Reply.OK()
}

func cmdScriptHelp(c *engine.Call) {
	c.Help(
		"DEBUG (YES|SYNC|NO)", "    Set the debug mode for subsequent scripts executed.",
		"EXISTS <sha1> [<sha1> ...]", "    Return information about the existence of the scripts in the script cache.",
		"FLUSH [ASYNC|SYNC]", "    Flush the Lua scripts cache. Very dangerous on replicas.", "    When called without the optional mode argument, the behavior is determined by the", "    lazyfree-lazy-user-flush configuration directive. Valid modes are:", "    * ASYNC: Asynchronously flush the scripts cache.", "    * SYNC: Synchronously flush the scripts cache.",
		"KILL", "    Kill the currently executing Lua script.",
		"LOAD <script>", "    Load a script into the scripts cache without executing it.",
	)
}
