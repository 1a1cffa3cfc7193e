package script

import (
	lua "github.com/yuin/gopher-lua"
)

// gopher-lua's own pcall closes the variables of all functions that are running when an error is raised, those
// outside of the pcall as well: afterwards, closures and the function that they are in have each a variable of
// their own.
//
//	local n = 0
//	local function inc() n = n + 1 end
//	pcall(error) inc() return n  -- 0
//
// So what is called protected runs on another stack, a thread of gopher-lua's that is no coroutine. What an
// error closes is on that stack only. The stacks are kept: one for each level of pcalls in one another.

// stackOf returns the stack for what is called at a level of protected calls.
func (s *state) stackOf(L *lua.LState, level int) *lua.LState {
	for len(s.stacks) <= level {
		s.stacks = append(s.stacks, nil)
	}
	if s.stacks[level] == nil {
		saved := L.Options
		L.Options = lua.Options{
			CallStackSize:    max(maxCalls>>level, 200),
			RegistrySize:     256,
			RegistryMaxSize:  1 << 20,
			RegistryGrowStep: 1 << 12,
		}
		s.stacks[level], _ = L.NewThread()
		L.Options = saved
		s.stacks[level].SetContext(&s.meter)
	}
	th := s.stacks[level]
	if o := s.owner(L); s.owners[th] != o {
		s.owners[th] = o
	}
	return th
}

// owner returns the coroutine that a stack belongs to, which is itself if it is not one of ours.
func (s *state) owner(L *lua.LState) *lua.LState {
	if o := s.owners[L]; o != nil {
		return o
	}
	return L
}

// try calls f and returns its results, or the value of an error.
func (s *state) try(L *lua.LState, f lua.LValue, args ...lua.LValue) (results []lua.LValue, failed lua.LValue) {
	level, depth := s.level, s.depth
	th := s.stackOf(L, level)
	s.level++
	th.Push(s.entering)
	th.Push(f)
	for _, a := range args {
		th.Push(a)
	}
	err := th.PCall(len(args)+1, lua.MultRet, nil)
	s.level = level
	if err != nil {
		s.depth = depth
		if e, ok := err.(*lua.ApiError); !ok || e.Type == lua.ApiErrorPanic {
			s.stacks[level] = nil // who knows what it looks like
		} else {
			th.SetTop(0)
		}
		return nil, s.thrown(err)
	}
	results = make([]lua.LValue, th.GetTop())
	for i := range results {
		results[i] = th.Get(i + 1)
	}
	th.SetTop(0)
	return results, nil
}

// arguments returns what a function was given from its n-th argument on.
func arguments(L *lua.LState, n int) []lua.LValue {
	args := make([]lua.LValue, max(L.GetTop()-n+1, 0))
	for i := range args {
		args[i] = L.Get(n + i)
	}
	return args
}

// tried pushes what pcall returns.
func tried(L *lua.LState, results []lua.LValue, failed lua.LValue) int {
	if failed != nil {
		L.Push(lua.LFalse)
		L.Push(failed)
		return 2
	}
	L.Push(lua.LTrue)
	for _, v := range results {
		L.Push(v)
	}
	return len(results) + 1
}
