package script

import (
	lua "github.com/yuin/gopher-lua"
)

// Coroutines are gopher-lua's, with Lua's errors, and with our meter: gopher-lua would give each of them a
// context that asks nobody.

func (s *state) openCoroutine() {
	L := s.L
	L.Push(L.NewFunction(lua.OpenCoroutine))
	L.Call(0, 1)
	t := L.Get(-1).(*lua.LTable)
	L.Pop(1)
	s.co.create = t.RawGetString("create").(*lua.LFunction)
	s.co.resume = t.RawGetString("resume").(*lua.LFunction).GFunction
	p, err := compile("coroutine", "return function(setup, f, ...) setup() return f(...) end")
	if err != nil {
		panic(err)
	}
	L.Push(L.NewFunctionFromProto(p))
	L.Call(0, 1)
	s.co.body = L.Get(-1).(*lua.LFunction)
	L.Pop(1)
	s.co.setup = L.NewFunction(func(L *lua.LState) int {
		L.Panic = s.raise
		return 0
	})
}

// coroutines is what a state knows of them.
type coroutines struct {
	create      *lua.LFunction // gopher-lua's
	resume      lua.LGFunction // gopher-lua's
	body, setup *lua.LFunction // what a coroutine begins with
	unstarted   map[*lua.LState]*lua.LFunction
}

func (s *state) publishCoroutine() {
	s.library("coroutine", map[string]lua.LGFunction{
		"create": s.coCreate, "resume": s.coResume, "running": s.coRunning, "status": s.coStatus,
		"wrap": s.coWrap, "yield": s.coYield,
	})
}

func (s *state) newThread(L *lua.LState) *lua.LState {
	f, ok := L.Get(1).(*lua.LFunction)
	if !ok || f.IsG {
		s.argError(L, 1, "Lua function expected")
	}
	saved := L.Options
	L.Options = lua.Options{CallStackSize: 2000, MinimizeStackMemory: true, RegistrySize: 256, RegistryMaxSize: 1 << 18, RegistryGrowStep: 1 << 12}
	L.Push(s.co.create)
	L.Push(s.co.body)
	L.Call(1, 1)
	L.Options = saved
	th := L.Get(-1).(*lua.LState)
	L.Pop(1)
	th.SetContext(&s.meter)
	s.co.unstarted[th] = f
	return th
}

func (s *state) coCreate(L *lua.LState) int {
	L.Push(s.newThread(L))
	return 1
}

// coWrap returns a function that resumes.
func (s *state) coWrap(L *lua.LState) int {
	th := s.newThread(L)
	L.Push(s.function(func(L *lua.LState) int {
		L.Insert(th, 1)
		n := s.resume(L, th)
		if ok := L.Get(L.GetTop() - n + 1); ok == lua.LTrue {
			return n - 1
		}
		value := L.Get(-1)
		if lua.LVCanConvToString(value) {
			value = lua.LString(where(L, 1) + toString(value))
		}
		s.throwValue(L, value)
		return 0
	}))
	return 1
}

func (s *state) coResume(L *lua.LState) int {
	th, ok := L.Get(1).(*lua.LState)
	if !ok {
		s.argError(L, 1, "coroutine expected")
	}
	return s.resume(L, th)
}

// resume returns true and what the coroutine gave, or false and why it gave nothing. The coroutine is the
// first argument on the stack of L.
func (s *state) resume(L, th *lua.LState) int {
	if status := s.status(L, th); status != "suspended" {
		L.SetTop(0)
		L.Push(lua.LFalse)
		L.Push(lua.LString("cannot resume " + status + " coroutine"))
		return 2
	}
	if f := s.co.unstarted[th]; f != nil {
		delete(s.co.unstarted, th)
		L.Insert(s.co.setup, 2)
		L.Insert(f, 3)
	}
	depth := s.depth
	s.descend(L)
	n := s.co.resume(L)
	s.depth = depth
	return n
}

func (s *state) status(L, th *lua.LState) string {
	if th.Dead {
		return "dead"
	}
	L = s.owner(L)
	if L.G.CurrentThread == th || th == L || th == s.L {
		if th == L {
			return "running"
		}
		return "normal"
	}
	for p := L; p != nil; p = s.owner(p).Parent {
		if p == th {
			return "normal"
		}
	}
	return "suspended"
}

func (s *state) coStatus(L *lua.LState) int {
	th, ok := L.Get(1).(*lua.LState)
	if !ok {
		s.argError(L, 1, "coroutine expected")
	}
	L.Push(lua.LString(s.status(L, th)))
	return 1
}

func (s *state) coRunning(L *lua.LState) int {
	if o := s.owner(L); o == s.L {
		L.Push(lua.LNil)
	} else {
		L.Push(o)
	}
	return 1
}

// coYield refuses where a Go function, or the machine itself on behalf of an operator or a loop, waits for
// the function that yields: Lua 5.1 can't go on from there.
func (s *state) coYield(L *lua.LState) int {
	if L == s.L || s.owner(L) != L || !canYield(L) {
		s.throwPlain(L, "attempt to yield across metamethod/C-call boundary")
	}
	return -1
}
