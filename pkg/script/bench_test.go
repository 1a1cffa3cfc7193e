package script

import (
	"testing"

	lua "github.com/yuin/gopher-lua"
)

// What the counting of instructions costs: the same loop with the meter and without.
func BenchmarkLoop(b *testing.B) {
	const loop = `local n = 0 for i = 1, 1000000 do n = n + i % 7 end return n`
	for _, metered := range []bool{true, false} {
		b.Run(map[bool]string{true: "metered", false: "bare"}[metered], func(b *testing.B) {
			s := newState()
			if !metered {
				s.L.RemoveContext()
			}
			benchmark(b, s, loop)
		})
	}
}

func benchmark(b *testing.B, s *state, script string) {
	p, err := compile("user_script", script)
	if err != nil {
		b.Fatal(err)
	}
	f := s.load(p)
	b.ResetTimer()
	for range b.N {
		if _, failed := s.call(f, nil); failed != nil {
			b.Fatal(failed)
		}
	}
}

// The parts of a typical script: a rate limiter without its commands, and what it is made of.
func BenchmarkParts(b *testing.B) {
	for name, script := range map[string]string{
		"nothing": `return 1`,
		"limiter": `local key, now, window, limit = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local bucket = key .. ":" .. math.floor(now / window)
local n = now % 7 + 1
if n == 1 then bucket = bucket .. "x" end
if n > limit then return {0, limit - n} end
return {1, limit - n}`,
		"concat": `local k = KEYS[1] for i = 1, 1000 do local x = k .. ":" .. i end return 1`,
		"insert": `local t = {} for i = 1, 1000 do t[#t + 1] = i end return #t`,
		"cjson":  `return cjson.encode(cjson.decode('{"a":[1,2,3,{"b":"c"}],"d":"text with some length","e":1.5}'))`,
		"match":  `return string.match("2024-01-02 some text", "(%d+)-(%d+)-(%d+)")`,
		"pcall":  `return pcall(error, "x")`,
		"sort":   `local t = {} for i = 1, 1000 do t[i] = (i * 7919) % 1009 end table.sort(t) return t[1]`,
	} {
		b.Run(name, func(b *testing.B) {
			s := newState()
			keys, args := s.L.NewTable(), s.L.NewTable()
			keys.Append(lua.LString("user:1"))
			for _, a := range []string{"1700000000", "60", "10"} {
				args.Append(lua.LString(a))
			}
			s.defineOpen("KEYS", keys)
			s.defineOpen("ARGV", args)
			benchmark(b, s, script)
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	for range b.N {
		if _, err := compile("user_script", `local key = KEYS[1] local n = redis.call('incr', key) if n == 1 then redis.call('expire', key, ARGV[1]) end return n <= tonumber(ARGV[2])`); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewState(b *testing.B) {
	for range b.N {
		newState()
	}
}
