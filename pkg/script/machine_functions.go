package script

import (
	"errors"

	lua "github.com/yuin/gopher-lua"
)

// What a library finds while it is loaded: nothing but redis.register_function and what is needed to log. The
// functions find all the rest when they are called.

// openFunctions makes the table redis of functions, and what libraries find instead while they are loaded.
func (m *machine) openFunctions() {
	m.define("redis", m.server())
	m.defineOpen("__redis__err__handler", lua.LNil) // of EVAL only
	redis := m.L.NewTable()
	redis.RawSetString("register_function", m.function(m.registerFunction))
	redis.RawSetString("log", m.function(m.redisLog))
	m.constants(redis)
	for _, name := range []string{"REPL_AOF", "REPL_SLAVE", "REPL_REPLICA", "REPL_ALL", "REPL_NONE"} {
		redis.RawSetString(name, lua.LNil)
	}
	redis.Metatable = m.globals.Metatable
	m.loadRedis = m.protect(redis)
}

// beginLoad lets scripts see what a library may see while it is loaded.
func (m *machine) beginLoad(l *library) {
	m.loading = l
	m.globals.ForEach(func(name, _ lua.LValue) { m.machine.RawSet(name, lua.LNil) })
	m.machine.RawSetString("redis", m.loadRedis)
}

// endLoad lets them see everything again.
func (m *machine) endLoad() {
	m.loading = nil
	m.globals.ForEach(func(name, v lua.LValue) { m.machine.RawSet(name, v) })
}

// registerFunction is redis.register_function: a name and a function, or a table of named arguments.
func (m *machine) registerFunction(L *lua.LState) int {
	if m.loading == nil {
		return m.raiseError(L, "redis.register_function can only be called on FUNCTION LOAD command")
	}
	var f *libFunction
	var err error
	switch L.GetTop() {
	case 1:
		t, ok := L.Get(1).(*lua.LTable)
		if !ok {
			return m.raiseError(L, "calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).")
		}
		f, err = m.namedArguments(m.contents(t))
	case 2:
		f, err = twoArguments(L)
	default:
		return m.raiseError(L, "wrong number of arguments to redis.register_function")
	}
	switch {
	case err != nil:
	case !isLibraryName(f.name):
		err = errBadName
	case m.loading.functions[f.name] != nil:
		err = errors.New("Function already exists in the library")
	}
	if err != nil {
		return m.raiseError(L, err.Error())
	}
	m.loading.functions[f.name] = f
	return 0
}

func twoArguments(L *lua.LState) (*libFunction, error) {
	name, ok := asString(L.Get(1))
	if !ok {
		return nil, errors.New("first argument to redis.register_function must be a string")
	}
	code, ok := L.Get(2).(*lua.LFunction)
	if !ok {
		return nil, errors.New("second argument to redis.register_function must be a function")
	}
	return &libFunction{name: name, code: code}, nil
}

func (m *machine) namedArguments(t *lua.LTable) (*libFunction, error) {
	f, named := &libFunction{}, false
	var err error
	t.ForEach(func(k, v lua.LValue) {
		if err != nil {
			return
		}
		key, ok := asString(k)
		if !ok {
			err = errors.New("named argument key given to redis.register_function is not a string")
			return
		}
		text, isText := asString(v)
		wrong := " argument given to redis.register_function must be a string"
		switch key {
		case "function_name":
			f.name, named, ok = text, true, isText
		case "description":
			f.description, ok = &text, isText
		case "callback":
			f.code, ok = v.(*lua.LFunction)
			wrong = " argument given to redis.register_function must be a function"
		case "flags":
			err = m.readFlags(v, f)
		default:
			err = errors.New("unknown argument given to redis.register_function")
		}
		if !ok && err == nil {
			err = errors.New(key + wrong)
		}
	})
	switch {
	case err != nil:
		return nil, err
	case !named:
		return nil, errors.New("redis.register_function must get a function name argument")
	case f.code == nil:
		return nil, errors.New("redis.register_function must get a callback argument")
	}
	return f, nil
}

func (m *machine) readFlags(v lua.LValue, f *libFunction) error {
	list, ok := v.(*lua.LTable)
	if !ok {
		return errors.New("flags argument to redis.register_function must be a table representing function flags")
	}
	list = m.contents(list)
	for i := 1; list.RawGetInt(i) != lua.LNil; i++ {
		name, _ := asString(list.RawGetInt(i))
		flag, ok := flagNamed(name)
		if !ok {
			return errors.New("unknown flag given")
		}
		f.flags |= flag
	}
	return nil
}
