package server

// Scripts. There is no interpreter, so none is ever stored or running: what asks about scripts gets the
// answer of a Redis that has none, and what brings one is refused.

func init() {
	const call = NoScript | Stale | SkipMonitor | NoMandatoryKeys | MovableKeys
	register("scripting", []Command{
		{Name: "eval", Arity: -3, Flags: call, KeysOf: numKeys(2), Handler: noScripts},
		{Name: "eval_ro", Arity: -3, Flags: call | ReadOnly, KeysOf: numKeys(2), Handler: noScripts},
		{Name: "evalsha", Arity: -3, Flags: call, KeysOf: numKeys(2), Handler: noMatchingScript},
		{Name: "evalsha_ro", Arity: -3, Flags: call | ReadOnly, KeysOf: numKeys(2), Handler: noMatchingScript},
		{Name: "script", Arity: -2, Sub: []*Command{
			{Name: "debug", Arity: 3, Flags: NoScript, Handler: noScripts},
			{Name: "exists", Arity: -3, Flags: NoScript, Handler: cmdScriptExists},
			{Name: "flush", Arity: -2, Flags: NoScript, Handler: cmdScriptFlush},
			{Name: "help", Arity: 2, Flags: Loading | Stale, Handler: cmdScriptHelp},
			{Name: "kill", Arity: 2, Flags: NoScript | AllowBusy, Handler: func(c *Client) { c.fail("NOTBUSY No scripts in execution right now.") }},
			{Name: "load", Arity: 3, Flags: NoScript | Stale, Handler: noScripts},
		}},
	})
}

func noScripts(c *Client) { c.fail("ERR scripts are not supported by this server") }

func noMatchingScript(c *Client) { c.fail("NOSCRIPT No matching script. Please use EVAL.") }

func cmdScriptExists(c *Client) {
	c.w.Array(len(c.args) - 2)
	for range c.args[2:] {
		c.w.Int(0)
	}
}

func cmdScriptFlush(c *Client) {
	if len(c.args) > 3 || len(c.args) == 3 && !c.is(2, "sync") && !c.is(2, "async") {
		c.fail("ERR SCRIPT FLUSH only support SYNC|ASYNC option")
		return
	}
	c.w.OK()
}

func cmdScriptHelp(c *Client) {
	c.help(
		"DEBUG (YES|SYNC|NO)", "    Set the debug mode for subsequent scripts executed.",
		"EXISTS <sha1> [<sha1> ...]", "    Return information about the existence of the scripts in the script cache.",
		"FLUSH [ASYNC|SYNC]", "    Flush the Lua scripts cache. Very dangerous on replicas.", "    When called without the optional mode argument, the behavior is determined by the", "    lazyfree-lazy-user-flush configuration directive. Valid modes are:", "    * ASYNC: Asynchronously flush the scripts cache.", "    * SYNC: Synchronously flush the scripts cache.",
		"KILL", "    Kill the currently executing Lua script.",
		"LOAD <script>", "    Load a script into the scripts cache without executing it.",
	)
}
