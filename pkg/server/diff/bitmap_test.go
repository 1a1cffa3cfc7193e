package diff

import (
	"fmt"
	"math/rand/v2"
)

func init() {
	offset := func(r *rand.Rand) string { return fmt.Sprint(r.IntN(200)) }
	index := func(r *rand.Rand) string { return fmt.Sprint(r.IntN(60) - 30) }
	field := func(r *rand.Rand) []string {
		typ := fmt.Sprintf("%s%d", pick(r, "u", "i"), 1+r.IntN(64))
		at := pick(r, "", "#") + fmt.Sprint(r.IntN(70))
		value := pick(r, "0", "1", "-1", "3", "-7", "100", "255", "-128", "65535", "9223372036854775807", "-9223372036854775808", fmt.Sprint(r.Int64()))
		switch r.IntN(5) {
		case 0:
			return []string{"GET", typ, at}
		case 1:
			return []string{"SET", typ, at, value}
		case 2, 3:
			return []string{"INCRBY", typ, at, value}
		}
		return []string{"OVERFLOW", pick(r, "WRAP", "SAT", "FAIL")}
	}
	generators["bitmap"] = func(r *rand.Rand) []string {
		k := anyKey(r)
		switch r.IntN(9) {
		case 0:
			return []string{"SETBIT", k, offset(r), pick(r, "0", "1")}
		case 1:
			return []string{"GETBIT", k, offset(r)}
		case 2:
			return append([]string{"BITCOUNT", k}, pick3(r, index(r), index(r))...)
		case 3:
			return append([]string{"BITPOS", k, pick(r, "0", "1")}, pick3(r, index(r), index(r))...)
		case 4:
			return append([]string{"BITOP", pick(r, "AND", "OR", "XOR", "NOT"), k}, some(r, 1, 3, anyKey)...)
		case 5:
			return []string{"GET", k}
		case 6:
			return []string{"SET", k, anyValue(r)}
		}
		args := []string{"BITFIELD", k}
		for range 1 + r.IntN(4) {
			args = append(args, field(r)...)
		}
		return args
	}
}

// pick3 returns none, one or both of a range's ends, with or without the unit.
func pick3(r *rand.Rand, start, end string) []string {
	switch r.IntN(4) {
	case 0:
		return nil
	case 1:
		return []string{start}
	case 2:
		return []string{start, end}
	}
	return []string{start, end, pick(r, "BYTE", "BIT")}
}
