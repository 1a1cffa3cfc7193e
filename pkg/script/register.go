package script

import "byor/pkg/engine"

func init() {
	const run = engine.NoScript | engine.Stale | engine.SkipMonitor | engine.NoMandatoryKeys | engine.MovableKeys
	keys := engine.NumKeys(2)
	engine.Register("scripting", []engine.Command{
		{Name: "eval", Arity: -3, Flags: run | engine.MayReplicate, FlagsOf: evalFlags, KeysOf: keys, Handler: by(cmdEval)},
		{Name: "eval_ro", Arity: -3, Flags: run | engine.ReadOnly, FlagsOf: evalFlags, KeysOf: keys, Handler: by(cmdEval)},
		{Name: "evalsha", Arity: -3, Flags: run | engine.MayReplicate, FlagsOf: evalFlags, KeysOf: keys, Handler: by(cmdEvalSHA)},
		{Name: "evalsha_ro", Arity: -3, Flags: run | engine.ReadOnly, FlagsOf: evalFlags, KeysOf: keys, Handler: by(cmdEvalSHA)},
		{Name: "script", Arity: -2, Sub: []*engine.Command{
			{Name: "debug", Arity: 3, Flags: engine.NoScript, Handler: by(cmdScriptDebug)},
			{Name: "exists", Arity: -3, Flags: engine.NoScript, Handler: by(cmdScriptExists)},
			{Name: "flush", Arity: -2, Flags: engine.NoScript, Handler: by(cmdScriptFlush)},
			{Name: "help", Arity: 2, Flags: engine.Loading | engine.Stale, Handler: by(cmdScriptHelp)},
			{Name: "kill", Arity: 2, Flags: engine.NoScript | engine.AllowBusy, Handler: by(cmdScriptKill)},
			{Name: "load", Arity: 3, Flags: engine.NoScript | engine.Stale, Handler: by(cmdScriptLoad)},
		}},
		{Name: "fcall", Arity: -3, Flags: run | engine.MayReplicate, FlagsOf: fcallFlags, KeysOf: keys, Handler: by(cmdFcall)},
		{Name: "fcall_ro", Arity: -3, Flags: run | engine.ReadOnly, FlagsOf: fcallFlags, KeysOf: keys, Handler: by(cmdFcall)},
		{Name: "function", Arity: -2, Sub: []*engine.Command{
			{Name: "delete", Arity: 3, Flags: engine.Write | engine.NoScript, Handler: by(cmdFunctionDelete)},
			{Name: "dump", Arity: 2, Flags: engine.NoScript, Handler: by(cmdFunctionDump)},
			{Name: "flush", Arity: -2, Flags: engine.Write | engine.NoScript, Handler: by(cmdFunctionFlush)},
			{Name: "help", Arity: 2, Flags: engine.Loading | engine.Stale, Handler: by(cmdFunctionHelp)},
			{Name: "kill", Arity: 2, Flags: engine.NoScript | engine.AllowBusy, Handler: by(cmdFunctionKill)},
			{Name: "list", Arity: -2, Flags: engine.NoScript, Handler: by(cmdFunctionList)},
			{Name: "load", Arity: -3, Flags: engine.Write | engine.DenyOOM | engine.NoScript, Handler: by(cmdFunctionLoad)},
			{Name: "restore", Arity: -3, Flags: engine.Write | engine.DenyOOM | engine.NoScript, Handler: by(cmdFunctionRestore)},
			{Name: "stats", Arity: 2, Flags: engine.NoScript | engine.AllowBusy, Handler: by(cmdFunctionStats)},
		}},
	})
}
