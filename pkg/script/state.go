package script

import (
	lua "github.com/yuin/gopher-lua"
)

// What follows is the world inside a script: a Lua state with the libraries that Redis opens, its globals
// protected as Redis protects them, its memory and its instructions counted. Nothing here knows of a server:
// whoever does puts a table `redis` into it with define and calls what compile made of a script.
//
// gopher-lua runs the code; most of what a script can see of it is ours. Its libraries are not opened, since
// they differ from those of Lua 5.1 in hundreds of small things (`%5.2f`, `string.find`, `tostring(1e15)`,
// every text of an error), its parser is not used (parse.go), and its machine's own errors are told
// in Lua's words (mend.go).
//
// What a script can still see, compared with Redis:
//
//   - pairs gives the list of a table first, then the other fields in the order in which they were set. Redis's
//     order is that of its hash table. cjson.encode and cmsgpack.pack write fields in that order, too.
//   - #t of a list with holes may be another of its borders.
//   - next(t, k) with a k that is not in t begins anew instead of failing; string.dump fails (there, nothing
//     loads what it makes).
//   - 0 has no sign after arithmetic, and a ^ b that is no number is nan, not -nan.
//   - An error's variable may be named differently, or not at all, within `a and b + c`; error(text, 3) finds no
//     third level beyond a pcall; recursion through metamethods is a "stack overflow" without "C ".
//   - Limits that Redis does not have: memory (memory.go), the recursion of patterns, a list in braces of more than
//     25,000 items, an expression of more than 20,000 operators in one another.

// hook is asked every hookPeriod instructions of a running script. The error that it returns ends the script,
// and pcall does not help against it. It runs in the script's goroutine: it may take its time.
type hook func() error

// state is a Lua state as Redis makes it. It runs one script at a time and is not safe for concurrent use.
type state struct {
	L       *lua.LState
	globals *lua.LTable                 // what scripts find as globals; only define changes it
	machine *lua.LTable                 // where the machine looks for globals: those, and what the parser calls
	visible *lua.LTable                 // what scripts see as _G
	behind  map[*lua.LTable]*lua.LTable // of a table that scripts can't change (seen as empty by the machine): its contents
	strings *lua.LTable                 // the metatable of strings that a script sees
	meter   meter
	random  rand48
	ours    bool              // the error that is on its way has been worded here, not by gopher-lua
	at      origin            // where the last error was raised
	chunks  map[string]string // what loadstring and load were given as names, by what errors call them
	depth   int               // calls of Go functions that call Lua, one in the other
	co      coroutines
	stacks  []*lua.LState               // see try.go
	owners  map[*lua.LState]*lua.LState // of each of stacks, the coroutine or the main thread that it serves
	level   int                         // of calls of try, one in the other

	entering    *lua.LFunction // enter
	nonexistent lua.LValue     // the metatable of _G that a script sees
}

// origin is the place where an error was raised, as Redis's error handler finds it.
type origin struct {
	Source string // "@user_script"; "=[C]" when no line of Lua did it
	Line   int
}

// scriptError is what ended a script.
type scriptError struct {
	Value lua.LValue // a string with its position in front, or what the script gave to error
	origin
}

// Error returns the text of the error if it has one.
func (e *scriptError) Error() string {
	if lua.LVCanConvToString(e.Value) {
		return toString(e.Value)
	}
	return "(error object is a " + e.Value.Type().String() + " value)"
}

// maxCalls is how deep functions of Lua call each other before it is a "stack overflow", about as in Lua
// (LUAI_MAXCALLS). maxGoCalls is the same for calls through pcall, sort, gsub, metamethods …: LUAI_MAXCCALLS.
const (
	maxCalls   = 20000
	maxGoCalls = 200
)

// newState makes a state. Hosts add what they want scripts to find (define), and may use it then.
func newState() *state {
	L := lua.NewState(lua.Options{
		SkipOpenLibs:     true,
		CallStackSize:    maxCalls,
		RegistrySize:     1 << 10,
		RegistryMaxSize:  1 << 20,
		RegistryGrowStep: 1 << 16,
	})
	s := &state{L: L, globals: L.NewTable(), machine: L.NewTable(), owners: map[*lua.LState]*lua.LState{}, chunks: map[string]string{}, behind: map[*lua.LTable]*lua.LTable{}}
	s.co.unstarted = map[*lua.LState]*lua.LFunction{}
	s.openCoroutine()
	s.entering = s.function(s.enter)
	s.random.seed(0x1234abcd) // as Redis when it starts; no script starts it anew
	s.openSandbox()
	s.openHidden()
	s.openBase()
	s.openString()
	s.openTable()
	s.openMath()
	s.publishCoroutine()
	s.openBit()
	s.openStruct()
	s.openCJSON()
	s.openMsgpack()
	s.meter.limit = memoryLimit
	L.SetContext(&s.meter)
	return s
}

// define makes value the global called name, which no script can change; if it is a table, nobody can
// change that either: see protect.
func (s *state) define(name string, value lua.LValue) {
	if t, ok := value.(*lua.LTable); ok {
		value = s.protect(t)
	}
	s.defineOpen(name, value)
}

// defineOpen makes value the global called name. If it is a table, scripts may write to it: KEYS, ARGV.
func (s *state) defineOpen(name string, value lua.LValue) {
	s.globals.RawSetString(name, value)
	s.machine.RawSetString(name, value)
}

// function makes a function that scripts can call.
func (s *state) function(f lua.LGFunction) *lua.LFunction { return s.L.NewFunction(f) }

// load makes a function of a compiled script.
func (s *state) load(p *lua.FunctionProto) *lua.LFunction { return s.L.NewFunctionFromProto(p) }

// call runs f and returns its first result, or what ended it. h may be nil.
func (s *state) call(f *lua.LFunction, h hook, args ...lua.LValue) (lua.LValue, *scriptError) {
	L := s.L
	s.depth, s.level, s.ours, s.at = 0, 0, false, origin{"=[C]", -1}
	clear(s.co.unstarted)
	clear(s.chunks)
	s.meter.start(h)
	top := L.GetTop()
	L.Push(s.entering)
	L.Push(f)
	for _, a := range args {
		L.Push(a)
	}
	err := L.PCall(len(args)+1, 1, nil)
	s.meter.stop()
	if err != nil {
		L.SetTop(top)
		return nil, &scriptError{s.thrown(err), s.at}
	}
	value := L.Get(-1)
	L.SetTop(top)
	return value, nil
}

// enter calls its first argument with the others, such that what goes wrong inside is worded by raise.
func (s *state) enter(L *lua.LState) int {
	L.Panic = s.raise
	if f := L.Get(1); f.Type() != lua.LTFunction && field(f, "__call") == lua.LNil {
		s.throwPlain(L, "attempt to call a "+f.Type().String()+" value")
	}
	s.descend(L)
	L.Call(L.GetTop()-1, lua.MultRet)
	s.depth--
	return L.GetTop()
}

// descend counts a call from Go into Lua. The caller counts it back when it is over; what ends in an error
// is counted back where the error is caught.
func (s *state) descend(L *lua.LState) {
	if s.depth++; s.depth > maxGoCalls {
		s.depth--
		s.throwPlain(L, "C stack overflow")
	}
}
