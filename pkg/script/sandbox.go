package script

import (
	lua "github.com/yuin/gopher-lua"
)

// Protected tables. The machine of Redis's Lua has a flag for tables that can't be changed. gopher-lua's has
// none, and sets a field that exists without asking anybody. So a protected table is empty, with a
// metatable that finds its contents in another table and refuses what is set; and the functions that look
// into tables without metatables (next, rawget, …) are ours and look behind it.

const readonly = "Attempt to modify a readonly table"

// openSandbox makes the globals: the table behind _G, and what is said about variables that are not there.
func (s *state) openSandbox() {
	L := s.L
	nonexistent := L.NewTable()
	nonexistent.RawSetString("__index", s.function(func(L *lua.LState) int {
		s.throw(L, "Script attempted to access nonexistent global variable '%s'", s.tostring(L, L.Get(2)))
		return 0
	}))
	s.globals.Metatable, s.machine.Metatable = nonexistent, nonexistent
	s.nonexistent = s.protect(nonexistent)
	s.visible = s.protect(s.globals)
	s.defineOpen("_G", s.visible)
	L.Env = s.machine
	L.G.Global = s.machine
}

// protect returns a table that reads as t does and can't be changed. t stays as it is, and can be.
func (s *state) protect(t *lua.LTable) *lua.LTable {
	if s.behind[t] != nil {
		return t
	}
	front := s.L.CreateTable(0, 0)
	mt := s.L.CreateTable(0, 2)
	mt.RawSetString("__index", t)
	mt.RawSetString("__newindex", s.function(func(L *lua.LState) int {
		s.throw(L, readonly)
		return 0
	}))
	front.Metatable = mt
	s.behind[front] = t
	return front
}

// contents returns the table whose fields t shows.
func (s *state) contents(t *lua.LTable) *lua.LTable {
	if t.Metatable != lua.LNil {
		if c := s.behind[t]; c != nil {
			return c
		}
	}
	return t
}

// toChange refuses tables that can't be changed.
func (s *state) toChange(L *lua.LState, t *lua.LTable) *lua.LTable {
	if t.Metatable != lua.LNil && s.behind[t] != nil {
		s.throwPlain(L, readonly)
	}
	return t
}

// library makes a table of functions a global.
func (s *state) library(name string, functions map[string]lua.LGFunction) *lua.LTable {
	t := s.L.CreateTable(0, len(functions))
	for n, f := range functions {
		t.RawSetString(n, s.function(f))
	}
	s.define(name, t)
	return t
}
