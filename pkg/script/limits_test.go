package script

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	lua "github.com/yuin/gopher-lua"
)

func run(t testing.TB, s *state, script string, h hook, args ...lua.LValue) (lua.LValue, *scriptError) {
	t.Helper()
	p, err := compile("user_script", script)
	require.NoError(t, err)
	return s.call(s.load(p), h, args...)
}

// A script that grows without end ends with an error, and what it took is free again.
func TestMemoryIsLimited(t *testing.T) {
	for name, script := range map[string]string{
		"string that doubles":   `local s = "x" while true do s = s .. s end`,
		"string.rep":            `return #string.rep("x", 2^31 - 1)`,
		"string.rep of a rep":   `local s = string.rep("x", 1e6) return #string.rep(s, 1e6)`,
		"list of strings":       `local t = {} while true do t[#t + 1] = string.rep("x", 1000) end`,
		"keys":                  `local t, i = {}, 0 while true do i = i + 1 t["key" .. i] = i end`,
		"tables in one another": `local t = {} while true do t = {t, t} end`,
		"sparse tables":         `local t = {} while true do local u = {} u[16000] = 1 t[#t + 1] = u end`,
		"closures":              `local t = {} while true do local x = {} t[#t + 1] = function() return x end end`,
		"coroutines":            `local t = {} while true do local c = coroutine.create(function() coroutine.yield() end) coroutine.resume(c) t[#t + 1] = c end`,
		"table.concat":          `local s, t = string.rep("x", 1e6), {} for i = 1, 1e4 do t[i] = s end return #table.concat(t)`,
		"gsub":                  `return #string.gsub(string.rep("x", 1e6), "x", string.rep("y", 1e5))`,
		"gsub by a function":    `local s = string.rep("y", 1e6) return #string.gsub(string.rep("x", 1e6), "x", function() return s end)`,
		"format":                `local s = "x" while true do s = string.format("%s%s", s, s) end`,
		"cjson.encode":          `local s, t = string.rep("x", 1e6), {} for i = 1, 1e4 do t[i] = s end return #cjson.encode(t)`,
		"cjson.decode":          `return #cjson.decode("[" .. string.rep("{},", 1e7) .. "1]")`,
		"cmsgpack.pack":         `local s, t = string.rep("x", 1e6), {} for i = 1, 1e4 do t[i] = s end return #cmsgpack.pack(t)`,
		"cmsgpack.unpack":       `return #cmsgpack.unpack("\221\0\255\255\255" .. string.rep("\144", 2^24))`,
		"struct.pack":           `local s = string.rep("x", 1e6) return #struct.pack(string.rep("s", 5000), unpack((function() local t = {} for i = 1, 5000 do t[i] = s end return t end)()))`,
		"caught again and again": `local t = {} for i = 1, 3 do pcall(function() while true do t[#t + 1] = string.rep("x", 1000) end end) t = {} end
			while true do t[#t + 1] = string.rep("x", 1000) end`,
	} {
		t.Run(name, func(t *testing.T) {
			s := newState()
			s.meter.limit = 48 << 20
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			_, failed := run(t, s, script, nil)
			require.NotNil(t, failed)
			require.Contains(t, failed.Error(), "not enough memory")
			runtime.ReadMemStats(&after)
			require.Less(t, int64(after.HeapSys)-int64(before.HeapSys), int64(1<<30), "it was found out too late")
			v, failed := run(t, s, `return "fine"`, nil)
			require.Nil(t, failed)
			require.Equal(t, "fine", toString(v))
		})
	}
}

// What makes garbage only is no trouble.
func TestGarbageIsNotCounted(t *testing.T) {
	s := newState()
	s.meter.limit = 48 << 20
	v, failed := run(t, s, `local n = 0 for i = 1, 3000 do n = n + #string.rep("x", 1e5) + #{1, 2, 3} end return n`, nil)
	require.Nil(t, failed)
	require.Equal(t, lua.LNumber(300009000), v)
}

// What never ends otherwise: the hook is asked, and its error is not to be caught.
func TestHookEndsScripts(t *testing.T) {
	for name, script := range map[string]string{
		"loop":            `while true do end`,
		"loop with pcall": `while true do pcall(function() while true do end end) end`,
		"in a coroutine":  `coroutine.wrap(function() while true do pcall(function() while true do end end) end end)()`,
		"pattern":         `return string.find(string.rep("a", 1e5), string.rep("a-", 50) .. "b")`,
		"sort":            `local t = {} for i = 1, 1000 do t[i] = i end while true do table.sort(t, function(a, b) return a > b end) end`,
		"tail calls":      `local function f() return f() end f()`,
		"xpcall":          `local function f() while true do xpcall(f, f) end end f()`,
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			_, failed := run(t, newState(), script, func() error {
				if asked++; asked > 20 {
					return errors.New("Script killed by user with SCRIPT KILL.")
				}
				return nil
			})
			require.NotNil(t, failed)
			require.True(t, strings.HasSuffix(failed.Error(), "Script killed by user with SCRIPT KILL."), failed.Error())
		})
	}
}

// Recursion of all kinds ends with Lua's error and not with the process.
func TestRecursionEnds(t *testing.T) {
	for name, script := range map[string]string{
		"function":    `local function f() return 1 + f() end return f()`,
		"pcall":       `local function f() return 1, pcall(f) end return select(-1, f())`,
		"xpcall":      `local function f() return 1, xpcall(f, function(e) return e end) end return select(-1, f())`,
		"gsub":        `local function f() return string.gsub("x", "x", f) end return f()`,
		"sort":        `local function f(a, b) table.sort({1, 2, 3}, f) return a < b end return f(1, 2)`,
		"index":       `local t = setmetatable({}, {__index = function(t, k) return t[k] .. "x" end}) return t.x`,
		"concat":      `local t = setmetatable({}, {}) getmetatable(t).__concat = function(a, b) return a .. b end return t .. t`,
		"tostring":    `local t = setmetatable({}, {}) getmetatable(t).__tostring = function(a) return tostring(a) .. "" end return tostring(t)`,
		"coroutine":   `local function f() return coroutine.wrap(f)() .. "x" end return f()`,
		"varargs":     `local function f(...) return f(1, ...) .. "x" end return f()`,
		"parentheses": "return select(2, loadstring('return ' .. string.rep('(', 1e6) .. string.rep(')', 1e6)))",
		"braces":      "return select(2, loadstring('return ' .. string.rep('{', 1e6) .. string.rep('}', 1e6)))",
		"unary":       "return select(2, loadstring('return ' .. string.rep('- ', 1e6) .. '1'))",
		"additions":   "return select(2, loadstring('return 1' .. string.rep(' + 1', 1e6)))",
		"fields":      "return select(2, loadstring('local a return a' .. string.rep('.a', 1e6)))",
		"calls":       "return select(2, loadstring('local a return a' .. string.rep('()', 1e6)))",
		"elseif":      "return select(2, loadstring('if a then' .. string.rep(' elseif a then', 1e6) .. ' end'))",
		"functions":   "return select(2, loadstring(string.rep('return function() ', 1e6) .. string.rep('end ', 1e6)))",
		"blocks":      "return select(2, loadstring(string.rep('do ', 1e6) .. string.rep('end ', 1e6)))",
		"cjson":       `cjson.encode_max_depth(1e9) local t = {} for i = 1, 1e5 do t = {t} end return cjson.encode(t)`,
		"cjson back":  `cjson.decode_max_depth(1e9) return cjson.decode(string.rep("[", 1e6))`,
		"pattern":     `return string.find(string.rep("a", 1e6), string.rep("a?", 1e6))`,
		"captures":    `return string.find(string.rep("a", 1e6), ".-(.-)b")`, // takes longer than anybody waits,
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			v, failed := run(t, newState(), script, func() error {
				if asked++; asked > 20000 {
					return errors.New("killed")
				}
				return nil
			})
			text := ""
			if failed != nil {
				text = failed.Error()
			} else {
				text = toString(v)
			}
			require.NotContains(t, text, "runtime error")
			require.NotContains(t, text, "internal error")
			t.Log(text[:min(len(text), 200)])
		})
	}
}

// Five bytes of cmsgpack can be a table with one field, for which gopher-lua makes a long list.
func TestSparseTablesOfCmsgpackAreCounted(t *testing.T) {
	s := newState()
	s.meter.limit = 48 << 20
	_, failed := run(t, s, `local x = "\129\205\62\128\1" return #{cmsgpack.unpack("\220\19\136" .. string.rep(x, 5000))}`, nil)
	require.NotNil(t, failed)
	require.Contains(t, failed.Error(), "not enough memory")
}

// What a script has stored elsewhere is not the script's.
func TestStoredDataAreNotCounted(t *testing.T) {
	var stored [][]byte
	const script = `for i = 1, 2000 do store(100000) end return "stored"`
	s := newState()
	s.meter.limit = 48 << 20
	s.define("store", s.function(func(L *lua.LState) int {
		stored = append(stored, make([]byte, L.CheckInt(1)))
		return 0
	}))
	_, failed := run(t, s, script, nil)
	require.NotNil(t, failed, "this test shows nothing")
	stored = nil
	s.meter.others = func() int64 { return int64(len(stored)) * 100000 }
	v, failed := run(t, s, script, nil)
	require.Nil(t, failed)
	require.Equal(t, "stored", toString(v))
	runtime.KeepAlive(stored)
}
