package script

import (
	"strconv"
	"strings"

	"byor/pkg/engine"
	"byor/pkg/resp"

	lua "github.com/yuin/gopher-lua"
)

// redis.call and redis.pcall: a command inside a script. What a client's command is refused for, this one is
// refused for, too, in its own words; then it takes the path of all commands.

// redisCall runs the command that its arguments are and returns the reply as a value. An error is raised, or returned as
// any other reply.
func (m *machine) redisCall(L *lua.LState, raise bool) int {
	v, failed := m.execute(L)
	if failed && raise {
		m.throwValue(L, v)
	}
	L.Push(v)
	return 1
}

func (m *machine) execute(L *lua.LState) (v lua.LValue, failed bool) {
	args, problem := m.arguments(L)
	if problem != "" {
		return m.errorTable(problem), true
	}
	cmd := m.s.e.Lookup(args)
	if problem := m.run.refuses(cmd, args); problem != "" {
		t := m.errorTable(problem)
		t.RawSetString("ignore_error_stats_update", lua.LTrue)
		code, _, _ := strings.Cut(problem, " ")
		if code[0] != '-' {
			code = "-ERR"
		}
		m.run.in.Reject(cmd, code[1:]+" ")
		return t, true
	}
	reply := m.run.in.Run(cmd, args)
	return m.value(reply)
}

// arguments returns the arguments of the running function as those of a command. They are valid until the next call.
// A large one has memory of its own, so that it may become a value.
func (m *machine) arguments(L *lua.LState) (args [][]byte, problem string) {
	n := L.GetTop()
	if n == 0 {
		return nil, "Please specify at least one argument for this redis lib call"
	}
	args, b := m.args[:0], m.scratch[:0]
	for i := 1; i <= n; i++ {
		from := len(b)
		switch v := L.Get(i).(type) {
		case lua.LString:
			if len(v) >= resp.LargeBulk {
				args = append(args, append(make([]byte, 0, len(v)), v...)[:len(v):len(v)])
				continue
			}
			b = append(b, v...)
		case lua.LNumber:
			b = appendNumber(b, float64(v))
		default:
			return nil, "Lua redis lib command arguments must be strings or integers"
		}
		args = append(args, b[from:len(b):len(b)])
	}
	m.args, m.scratch = args, b
	return args, ""
}

// appendNumber appends a number as C prints it with "%.17g": all of it, where tostring would round.
func appendNumber(b []byte, f float64) []byte {
	if n := int64(f); float64(n) == f && n > -1e15 && n < 1e15 && (n != 0 || 1/f > 0) {
		return strconv.AppendInt(b, n, 10)
	}
	return append(b, formatG(f, 17)...)
}

// refuses returns why the command may not run in the script. A text without a code means ERR.
func (r *execution) refuses(cmd *engine.Command, args [][]byte) string {
	n := len(args)
	switch {
	case cmd == nil:
		return "Unknown Redis command called from script"
	case cmd.Arity > 0 && n != cmd.Arity || n < -cmd.Arity:
		return "Wrong number of args calling Redis command from script"
	case cmd.Flags&engine.NoScript != 0 && !(r.s.e.DebugInScripts && cmd.Name == "debug"):
		return "This Redis command is not allowed from script"
	}
	if !r.s.e.Calm && cmd.Flags&engine.Stale == 0 && r.in.Refuses(0) != "" {
		return "Can not execute the command on a stale replica"
	}
	if msg := r.in.Forbids(cmd, args); msg != "" {
		return msg
	}
	if r.readOnly && cmd.Flags&(engine.Write|engine.MayReplicate) != 0 {
		return "Write commands are not allowed from read-only scripts."
	}
	if r.s.e.Calm || r.in.Wrote { // what has begun to write can't be stopped half-way
		return ""
	}
	if cmd.Flags&engine.Write != 0 {
		if msg := r.in.Refuses(engine.Write | engine.Stale); msg != "" {
			return "-" + msg
		}
	}
	if cmd.Flags&engine.DenyOOM != 0 && r.flags&allowOOM == 0 && r.in.OutOfMemory() {
		return "-OOM command not allowed when used memory > 'maxmemory'."
	}
	return ""
}
