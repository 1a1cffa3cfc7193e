// Package script runs scripts: EVAL, EVALSHA and their like, the cache behind them, and functions, which are
// scripts that are a part of the data set. The language is Lua 5.1, as in Redis; gopher-lua executes it, and nothing
// else in the project knows of that package.
//
// It takes little once a command is data. redis.call finds a command in the same table as a client does, has it
// checked by the same facts, runs it by the same path, and reads its reply, which is bytes, back into values
// of Lua (call.go, reply.go). That a script is one unit to everybody else is nothing new, either: it runs inside
// one command, under the engine's lock, and its effects leave as those of an EXEC do, never the script itself
// (engine.Inner). The rest is about scripts that say what they want (shebang.go), that take too long (run.go), and
// that come with a name (library.go, function.go). What Lua sees inside is state.go and the lib_ files.
//
// Whoever imports the package has its commands in the table of all engines, and scripts in each of them. There is one
// state for EVAL and one for functions, as in Redis, and both are used again and again: no script can change what
// the next one finds.
package script

import (
	"byor/pkg/engine"
)

func init() {
	engine.RegisterScripts(func(e *engine.Engine) engine.Scripts { return newScripts(e) })
}

// scripts is what an engine has of scripts. The engine's lock guards it.
type scripts struct {
	e         *engine.Engine
	evals     *machine // runs the scripts of EVAL; nil until there is one
	bySHA     map[string]*script
	bySource  map[string]*script
	bytes     int64    // of what is stored of them
	functions *machine // runs functions; nil until there is one
	libs      libraries
	running   *execution // nil: none runs
}

func newScripts(e *engine.Engine) *scripts {
	s := &scripts{e: e}
	s.flush()
	s.libs = newLibraries()
	return s
}

// of returns the scripts of the engine that executes the call.
func of(c *engine.Call) *scripts { return c.Engine().Scripts.(*scripts) }

// by makes a handler of a function.
func by(h func(s *scripts, c *engine.Call)) func(*engine.Call) {
	return func(c *engine.Call) { h(of(c), c) }
}

// Usage returns what is stored, for INFO.
func (s *scripts) Usage() engine.ScriptsUsage {
	u := engine.ScriptsUsage{Scripts: len(s.bySHA), ScriptsMemory: s.bytes, Functions: len(s.libs.functions), Libraries: len(s.libs.byName)}
	for _, l := range s.libs.byName {
		u.FunctionsMemory += int64(len(l.source)) + libraryBytes + int64(len(l.functions))*functionBytes
	}
	if s.evals != nil {
		u.ScriptsMachine = machineBytes
	}
	if s.functions != nil {
		u.FunctionsMachine = machineBytes
	}
	return u
}

// What things cost besides their texts, roughly: a state of Lua with its libraries, a script, a library, a function.
const (
	machineBytes  = 256 << 10
	scriptBytes   = 1 << 10
	libraryBytes  = 1 << 10
	functionBytes = 512
)
