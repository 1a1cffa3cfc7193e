package script

import (
	"strconv"
	"strings"

	"byor/pkg/config"
	"byor/pkg/engine"

	lua "github.com/yuin/gopher-lua"
)

// The table redis, but for call and pcall.

// constants adds the fields that are no functions.
func (m *machine) constants(t *lua.LTable) {
	for name, n := range map[string]int{
		"LOG_DEBUG": 0, "LOG_VERBOSE": 1, "LOG_NOTICE": 2, "LOG_WARNING": 3,
		"REPL_NONE": 0, "REPL_AOF": int(engine.ToAOF), "REPL_SLAVE": int(engine.ToReplicas), "REPL_REPLICA": int(engine.ToReplicas),
		"REPL_ALL": int(engine.ToAOF | engine.ToReplicas), "REDIS_VERSION_NUM": versionNumber(),
	} {
		t.RawSetString(name, lua.LNumber(n))
	}
	t.RawSetString("REDIS_VERSION", lua.LString(config.RedisVersion))
}

// versionNumber returns 0x00MMmmpp.
func versionNumber() int {
	n := 0
	for _, part := range strings.Split(config.RedisVersion, ".") {
		p, _ := strconv.Atoi(part)
		n = n<<8 | p
	}
	return n
}

// errorTable returns an error as redis.error_reply makes it: a text without a code gets the code ERR. One
// whose code is to be kept begins with "-".
func (m *machine) errorTable(text string) *lua.LTable {
	code := "ERR"
	if rest, ok := strings.CutPrefix(text, "-"); ok {
		text = rest
		if first, more, ok := strings.Cut(rest, " "); ok {
			code, text = first, more
		}
	}
	t := m.L.CreateTable(0, 2)
	t.RawSetString("err", lua.LString(code+" "+strings.Trim(text, "\r\n")))
	return t
}

// raiseError ends the running function with an error.
func (m *machine) raiseError(L *lua.LState, text string) int {
	m.throwValue(L, m.errorTable(text))
	return 0
}

// errorText returns what a value says that a script has raised or returned as an error, and whether the
// error was counted already, when a command replied it.
func (m *machine) errorText(v lua.LValue) (text string, counted bool) {
	t, ok := v.(*lua.LTable)
	if !ok {
		return "ERR " + oneLine(lua.LString(m.tostring(m.L, v))), false
	}
	t = m.contents(t)
	text, ok = asString(t.RawGetString("err"))
	if !ok { // here Redis 7.0 crashes
		text = "ERR unknown error"
	}
	return oneLine(lua.LString(text)), lua.LVAsBool(t.RawGetString("ignore_error_stats_update"))
}

// asString returns what lua_tolstring does: strings and numbers are texts.
func asString(v lua.LValue) (string, bool) {
	switch v := v.(type) {
	case lua.LString:
		return string(v), true
	case lua.LNumber:
		return formatNumber(float64(v)), true
	}
	return "", false
}

func (m *machine) redisLog(L *lua.LState) int {
	n := L.GetTop()
	if n < 2 {
		return m.raiseError(L, "redis.log() requires two arguments or more.")
	}
	level, ok := toNumber(L.Get(1))
	if !ok {
		return m.raiseError(L, "First argument must be a number (log level).")
	}
	if level < 0 || level >= 4 {
		return m.raiseError(L, "Invalid debug level.")
	}
	var words []string
	for i := 2; i <= n; i++ {
		if s, ok := asString(L.Get(i)); ok {
			words = append(words, s)
		}
	}
	m.s.e.Log(int(level), strings.Join(words, " "))
	return 0
}

func (m *machine) redisSHA1(L *lua.LState) int {
	if L.GetTop() != 1 {
		return m.raiseError(L, "wrong number of arguments")
	}
	s, _ := asString(L.Get(1))
	L.Push(lua.LString(shaOf(s)))
	return 1
}

// oneString returns the only argument, if it is a string and the only one.
func oneString(L *lua.LState) (string, bool) {
	s, ok := L.Get(1).(lua.LString)
	return string(s), ok && L.GetTop() == 1
}

func (m *machine) redisError(L *lua.LState) int {
	s, ok := oneString(L)
	if !ok {
		L.Push(m.errorTable("wrong number or type of arguments"))
		return 1
	}
	L.Push(m.errorTable("-" + strings.TrimPrefix(s, "-")))
	return 1
}

func (m *machine) redisStatus(L *lua.LState) int {
	s, ok := oneString(L)
	if !ok {
		L.Push(m.errorTable("wrong number or type of arguments"))
		return 1
	}
	t := L.CreateTable(0, 1)
	t.RawSetString("ok", lua.LString(s))
	L.Push(t)
	return 1
}

func (m *machine) redisSetresp(L *lua.LState) int {
	if L.GetTop() != 1 {
		return m.raiseError(L, "redis.setresp() requires one argument.")
	}
	f, _ := toNumber(L.Get(1))
	n := toInt(f)
	if n != 2 && n != 3 {
		return m.raiseError(L, "RESP version must be 2 or 3.")
	}
	m.run.in.SetProto(n)
	return 0
}

func (m *machine) redisSetRepl(L *lua.LState) int {
	if L.GetTop() != 1 {
		return m.raiseError(L, "redis.set_repl() requires two arguments.")
	}
	f, _ := toNumber(L.Get(1))
	n := toInt(f)
	if n&^int(engine.ToAOF|engine.ToReplicas) != 0 {
		return m.raiseError(L, "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.")
	}
	m.run.in.Targets = engine.Target(n)
	return 0
}

// redisMayCall says whether the user may run a command.
func (m *machine) redisMayCall(L *lua.LState) int {
	args, problem := m.arguments(L)
	if problem != "" {
		return m.raiseError(L, problem)
	}
	cmd := m.s.e.Lookup(args)
	if cmd == nil {
		return m.raiseError(L, "Invalid command passed to redis.acl_check_cmd()")
	}
	L.Push(lua.LBool(m.run.call.May(cmd, args)))
	return 1
}
