package server

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
)

// randomHex returns n random hexadecimal digits.
func randomHex(n int) string {
	b := make([]byte, (n+1)/2)
	rand.Read(b) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b)[:n]
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// itoa prints an integer.
func itoa[T int | int32 | int64](n T) string { return strconv.FormatInt(int64(n), 10) }
