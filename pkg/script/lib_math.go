package script

import (
	"math"

	lua "github.com/yuin/gopher-lua"
)

// The math library (lmathlib.c), with Redis's own math.random.

func (s *state) openMath() {
	one := func(f func(float64) float64) lua.LGFunction {
		return func(L *lua.LState) int {
			x := s.checkNumber(L, 1)
			L.Push(lua.LNumber(invalid(f(x), x, x)))
			return 1
		}
	}
	two := func(f func(a, b float64) float64) lua.LGFunction {
		return func(L *lua.LState) int {
			a := s.checkNumber(L, 1)
			b := s.checkNumber(L, 2)
			L.Push(lua.LNumber(invalid(f(a, b), a, b)))
			return 1
		}
	}
	fs := map[string]lua.LGFunction{
		"abs": one(math.Abs), "acos": one(math.Acos), "asin": one(math.Asin), "atan": one(math.Atan),
		"atan2": two(math.Atan2), "ceil": one(math.Ceil), "cos": one(math.Cos), "cosh": one(math.Cosh),
		"deg": one(func(x float64) float64 { return x / (math.Pi / 180) }), "exp": one(math.Exp),
		"floor": one(math.Floor), "fmod": two(math.Mod), "mod": two(math.Mod), "log": one(math.Log), "log10": one(log10),
		"pow": two(math.Pow), "rad": one(func(x float64) float64 { return x * (math.Pi / 180) }), "sin": one(math.Sin),
		"sinh": one(math.Sinh), "sqrt": one(math.Sqrt), "tan": one(math.Tan), "tanh": one(math.Tanh),
		"frexp": s.mathFrexp, "ldexp": s.mathLdexp, "max": s.mathMax, "min": s.mathMin, "modf": s.mathModf,
		"random": s.mathRandom, "randomseed": s.mathRandomseed,
	}
	t := s.L.CreateTable(0, len(fs)+2)
	for name, f := range fs {
		t.RawSetString(name, s.function(f))
	}
	t.RawSetString("pi", lua.LNumber(math.Pi))
	t.RawSetString("huge", lua.LNumber(math.Inf(1)))
	s.define("math", t)
}

// invalid returns the result of an operation on a and b. Where that is not a number, amd64 sets its sign.
func invalid(result, a, b float64) float64 {
	if math.IsNaN(result) && !math.IsNaN(a) && !math.IsNaN(b) {
		return math.Copysign(result, -1)
	}
	return result
}

// log10 is exact for powers of ten, as C's is.
func log10(x float64) float64 {
	r := math.Log10(x)
	if n := math.Round(r); math.Abs(r-n) < 1e-9 && math.Abs(n) < 300 && math.Pow(10, n) == x {
		return n
	}
	return r
}

func (s *state) mathFrexp(L *lua.LState) int {
	fraction, exponent := math.Frexp(s.checkNumber(L, 1))
	L.Push(lua.LNumber(fraction))
	L.Push(lua.LNumber(exponent))
	return 2
}

func (s *state) mathLdexp(L *lua.LState) int {
	f := s.checkNumber(L, 1)
	L.Push(lua.LNumber(math.Ldexp(f, int(int32(s.checkInt(L, 2))))))
	return 1
}

func (s *state) mathModf(L *lua.LState) int {
	f := s.checkNumber(L, 1)
	whole, fraction := math.Trunc(f), 0.0
	if !math.IsInf(f, 0) {
		fraction = f - whole
	}
	L.Push(lua.LNumber(whole))
	L.Push(lua.LNumber(math.Copysign(fraction, f)))
	return 2
}

func (s *state) mathMax(L *lua.LState) int {
	m := s.checkNumber(L, 1)
	for i := 2; i <= L.GetTop(); i++ {
		if f := s.checkNumber(L, i); f > m {
			m = f
		}
	}
	L.Push(lua.LNumber(m))
	return 1
}

func (s *state) mathMin(L *lua.LState) int {
	m := s.checkNumber(L, 1)
	for i := 2; i <= L.GetTop(); i++ {
		if f := s.checkNumber(L, i); f < m {
			m = f
		}
	}
	L.Push(lua.LNumber(m))
	return 1
}

func (s *state) mathRandom(L *lua.LState) int {
	const max = 0x7fffffff
	r := float64(s.random.next()%max) / max
	switch L.GetTop() {
	case 0:
		L.Push(lua.LNumber(r))
	case 1:
		u := s.checkC(L, 1)
		if u < 1 {
			s.argError(L, 1, "interval is empty")
		}
		L.Push(lua.LNumber(math.Floor(r*float64(u)) + 1))
	case 2:
		l, u := s.checkC(L, 1), s.checkC(L, 2)
		if l > u {
			s.argError(L, 2, "interval is empty")
		}
		L.Push(lua.LNumber(math.Floor(r*float64(int32(u-l+1))) + float64(l)))
	default:
		s.throw(L, "wrong number of arguments")
	}
	return 1
}

// checkC returns an argument as luaL_checkint does: 32 bits of it.
func (s *state) checkC(L *lua.LState, n int) int { return int(int32(s.checkInt(L, n))) }

func (s *state) mathRandomseed(L *lua.LState) int {
	s.random.seed(int32(s.checkInt(L, 1)))
	return 0
}
