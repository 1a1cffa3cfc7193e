package script

import (
	lua "github.com/yuin/gopher-lua"
)

// machine is a state of Lua that knows the server: it has a table redis.
type machine struct {
	*state
	s       *scripts
	run     *execution // the script that runs in it
	scratch []byte     // for the arguments of a command
	args    [][]byte

	loadRedis *lua.LTable // what a library finds while it is loaded
	loading   *library    // which is loaded
}

func newMachine(s *scripts) *machine {
	m := &machine{state: newState(), s: s}
	m.meter.others = s.e.Store.MemBytes
	return m
}

// openEval makes the table redis of EVAL's scripts.
func (m *machine) openEval() {
	redis := m.server()
	for name, f := range map[string]lua.LGFunction{
		"replicate_commands": func(L *lua.LState) int { L.Push(lua.LTrue); return 1 },
		"breakpoint":         func(L *lua.LState) int { L.Push(lua.LFalse); return 1 },
		"debug":              func(L *lua.LState) int { return 0 },
	} {
		redis.RawSetString(name, m.function(f))
	}
	m.define("redis", redis)
}

// server returns what both EVAL's scripts and functions find in the table redis.
func (m *machine) server() *lua.LTable {
	t := m.L.NewTable()
	for name, f := range map[string]lua.LGFunction{
		"call":  func(L *lua.LState) int { return m.redisCall(L, true) },
		"pcall": func(L *lua.LState) int { return m.redisCall(L, false) },
		"log":   m.redisLog, "sha1hex": m.redisSHA1, "error_reply": m.redisError, "status_reply": m.redisStatus,
		"setresp": m.redisSetresp, "set_repl": m.redisSetRepl, "acl_check_cmd": m.redisMayCall,
	} {
		t.RawSetString(name, m.function(f))
	}
	m.constants(t)
	return t
}

// strings returns a table of them.
func (m *machine) strings(list [][]byte) *lua.LTable {
	t := m.L.CreateTable(len(list), 0)
	for _, s := range list {
		t.Append(lua.LString(s))
	}
	return t
}

func (m *machine) close() { m.L.Close() }
