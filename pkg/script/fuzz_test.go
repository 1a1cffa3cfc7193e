package script

import (
	"testing"

	"github.com/stretchr/testify/require"
	lua "github.com/yuin/gopher-lua"
)

// again runs a script of one string argument on in, and returns its string or the error.
func again(t *testing.T, s *state, f *lua.LFunction, in string) (string, bool) {
	v, failed := s.call(f, nil, lua.LString(in))
	if failed != nil {
		require.NotContains(t, failed.Error(), "runtime error")
		return failed.Error(), false
	}
	return toString(v), true
}

func fuzzed(t testing.TB, script string) (*state, *lua.LFunction) {
	s := newState()
	p, err := compile("fuzz", script)
	require.NoError(t, err)
	return s, s.load(p)
}

// Whatever cjson reads it writes such that it reads the same.
func FuzzCJSONDecode(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.5,-3e10,"x\u00e4\ud83d\ude00",true,null,{}],"b":{"c":[]}}`, `[`, `{"a"`, `"\u12`, `nan`, `-0x1p3`, `[1e999]`,
		"\"a\x00b\"", `[[[[1]]]]`, `{"1":1,"2":2}`, `1 2`, ``, `"\ud800\u0041"`} {
		f.Add(seed)
	}
	s, fn := fuzzed(f, `local x = ... return cjson.encode(cjson.decode(x))`)
	f.Fuzz(func(t *testing.T, in string) {
		once, ok := again(t, s, fn, in)
		if !ok {
			return
		}
		twice, ok := again(t, s, fn, once)
		require.True(t, ok, twice)
		require.Equal(t, once, twice)
	})
}

// Whatever cmsgpack unpacks it packs such that it unpacks to the same; tables that are too deep become nil, and
// fields that are nil disappear, so that takes a few rounds.
func FuzzCmsgpackUnpack(f *testing.F) {
	for _, seed := range []string{"\x93\x01\xa1x\xc0", "\x82\xa1a\x01\xa1b\x92\xc2\xc3", "\xdd\xff\xff\xff\xff", "\xcb\x7f\xf8\x00\x00\x00\x00\x00\x01",
		"\x81\xc0\x01", "\xd9\x05abc", "\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "\xd3\x80\x00\x00\x00\x00\x00\x00\x00", "\xc1", "\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x01"} {
		f.Add(seed)
	}
	s, fn := fuzzed(f, `local x = ... return cmsgpack.pack(cmsgpack.unpack(x))`)
	f.Fuzz(func(t *testing.T, in string) {
		if len(in) > 300 {
			return // each five bytes may be a table with a long list, forty times over
		}
		text, ok := again(t, s, fn, in)
		for range 40 {
			if !ok {
				return
			}
			before := text
			if text, ok = again(t, s, fn, text); text == before {
				return
			}
		}
		t.Fatalf("%q", text)
	})
}

// A pattern and a subject, whatever they are, are matched or refused.
func FuzzPattern(f *testing.F) {
	for _, seed := range []string{"(%w+)=(%w+)", "%b()", "%f[%a]", "[^%]]*", "(()", "%1", "[a-", "^$", ".-x", "%"} {
		f.Add("key=value (x) x", seed)
	}
	s, fn := fuzzed(f, `local s, p = ... string.find(s, p) string.gsub(s, p, "%1") for a in string.gmatch(s, p) do end return 1`)
	f.Fuzz(func(t *testing.T, subject, pattern string) {
		if len(subject) > 200 || len(pattern) > 40 {
			return // it takes its time
		}
		_, failed := s.call(fn, nil, lua.LString(subject), lua.LString(pattern))
		if failed != nil {
			require.NotContains(t, failed.Error(), "runtime error")
		}
	})
}

// A source is compiled or refused, and neither parser nor compiler is confused by it.
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{`local a, b = 1, 2 a, b = b, a return a .. b`, `for i = 1, 3 do local f = function(...) return arg, i end end`,
		`return {1, 2, [3] = 4, x = f()}, (...), #x, -x ^ 2`, `a.b:c"x" = 1`, `repeat local x until x`, `x = [==[ ]==]`, "return '\\", `goto x`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		if _, err := compile("fuzz", source); err != nil {
			require.NotContains(t, err.Error(), "internal error")
		}
	})
}

// What a format and a structure are given, they take or refuse.
func FuzzFormats(f *testing.F) {
	for _, seed := range []string{"%5.2f", "%-10s|", "%q", "%x", "!4bi", ">I8", "c0", "%", "%99.99d"} {
		f.Add(seed, 1.5)
	}
	s, fn := fuzzed(f, `local f, n = ... pcall(string.format, f, n, n, n) pcall(struct.pack, f, n, n, n) pcall(struct.unpack, f, string.rep("x", 100)) return tonumber(tostring(n)) ~= nil and pcall(struct.size, f)`)
	f.Fuzz(func(t *testing.T, format string, n float64) {
		if _, failed := s.call(fn, nil, lua.LString(format), lua.LNumber(n)); failed != nil {
			t.Fatal(failed)
		}
	})
}
