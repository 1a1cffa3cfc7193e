package script

import (
	"math"
	"math/bits"

	lua "github.com/yuin/gopher-lua"
)

// The library bit (LuaBitOp 1.0.2): numbers are taken as 32 bits, results are signed.

func (s *state) openBit() {
	fold := func(f func(a, b uint32) uint32) lua.LGFunction {
		return func(L *lua.LState) int {
			n := s.bits(L, 1)
			for i := 2; i <= L.GetTop(); i++ {
				n = f(n, s.bits(L, i))
			}
			return pushBits(L, n)
		}
	}
	shift := func(f func(a uint32, n int) uint32) lua.LGFunction {
		return func(L *lua.LState) int {
			a := s.bits(L, 1)
			return pushBits(L, f(a, int(s.bits(L, 2)&31)))
		}
	}
	s.library("bit", map[string]lua.LGFunction{
		"tobit":   func(L *lua.LState) int { return pushBits(L, s.bits(L, 1)) },
		"bnot":    func(L *lua.LState) int { return pushBits(L, ^s.bits(L, 1)) },
		"bswap":   func(L *lua.LState) int { return pushBits(L, bits.ReverseBytes32(s.bits(L, 1))) },
		"band":    fold(func(a, b uint32) uint32 { return a & b }),
		"bor":     fold(func(a, b uint32) uint32 { return a | b }),
		"bxor":    fold(func(a, b uint32) uint32 { return a ^ b }),
		"lshift":  shift(func(a uint32, n int) uint32 { return a << n }),
		"rshift":  shift(func(a uint32, n int) uint32 { return a >> n }),
		"arshift": shift(func(a uint32, n int) uint32 { return uint32(int32(a) >> n) }),
		"rol":     shift(bits.RotateLeft32),
		"ror":     shift(func(a uint32, n int) uint32 { return bits.RotateLeft32(a, -n) }),
		"tohex":   s.bitTohex,
	})
}

// bits returns an argument rounded to an integer, of which it takes the low 32 bits.
func (s *state) bits(L *lua.LState, n int) uint32 {
	return uint32(math.Float64bits(s.checkNumber(L, n) + (1<<52 + 1<<51)))
}

func pushBits(L *lua.LState, n uint32) int {
	L.Push(lua.LNumber(int32(n)))
	return 1
}

func (s *state) bitTohex(L *lua.LState) int {
	b := s.bits(L, 1)
	n := int32(8)
	if L.GetTop() >= 2 {
		n = int32(s.bits(L, 2))
	}
	digits := "0123456789abcdef"
	if n < 0 {
		n, digits = -n, "0123456789ABCDEF"
	}
	if n > 8 || n < 0 {
		n = 8
	}
	text := make([]byte, n)
	for i := int(n) - 1; i >= 0; i-- {
		text[i] = digits[b&15]
		b >>= 4
	}
	L.Push(lua.LString(text))
	return 1
}
