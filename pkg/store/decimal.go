package store

import (
	"strconv"
	"unsafe"
)

// smallDecimals is "000" to "999".
var smallDecimals = func() (b [3000]byte) {
	for i := range 1000 {
		b[3*i], b[3*i+1], b[3*i+2] = byte('0'+i/100), byte('0'+i/10%10), byte('0'+i%10)
	}
	return b
}()

// decimal returns n in decimal, not to be written to. The numbers of up to three digits, which
// most collections of integers are made of, need no allocation.
func decimal(n int64) []byte {
	if n < 0 || n > 999 {
		return strconv.AppendInt(nil, n, 10)
	}
	skip := 3 - int64(decimalLen(n))
	return smallDecimals[3*n+skip : 3*n+3 : 3*n+3]
}

// decimalLen returns the number of bytes of n in decimal.
func decimalLen(n int64) int {
	size := 1
	if n < 0 {
		size = 2
	}
	for n /= 10; n != 0; n /= 10 {
		size++
	}
	return size
}

// view returns the bytes of s without a copy. They must not be written to.
func view(s string) []byte {
	if s == "" {
		return []byte{}
	}
	return unsafe.Slice(unsafe.StringData(s), len(s))
}
