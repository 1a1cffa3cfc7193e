package commands

import (
	"bytes"
	"math"
	"strconv"

	"byor/pkg/engine"
)

// What several groups need.

// destAndNumKeys is NumKeys for "dest numkeys key …": the destination at index 1 is a key too.
func destAndNumKeys(args [][]byte) []int {
	from := engine.NumKeys(2)(args)
	if from == nil {
		return nil
	}
	return append([]int{1}, from...)
}

// streamKeys finds the keys behind STREAMS in XREAD and XREADGROUP. A group may have that name, too.
func streamKeys(args [][]byte) []int {
	from := 1
	if engine.EqualFold(args[0], "xreadgroup") {
		from = 4
	}
	for i := from; i < len(args); i++ {
		if bytes.EqualFold(args[i], []byte("streams")) {
			n := (len(args) - i - 1) / 2
			pos := make([]int, n)
			for j := range pos {
				pos[j] = i + 1 + j
			}
			return pos
		}
	}
	return nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// itoa prints an integer.
func itoa[T int | int64](n T) string { return strconv.FormatInt(int64(n), 10) }

// limitOption parses LIMIT n from argument i on: how many elements an intersection is counted up to, 0 for all.
func limitOption(c *engine.Call, i int) (limit int, ok bool) {
	for ; i < len(c.Args); i += 2 {
		if i+1 >= len(c.Args) || !c.Is(i, "limit") {
			c.Fail(engine.ErrSyntax)
			return 0, false
		}
		if limit, ok = c.RangeArg(i+1, 0, math.MaxInt64, "ERR LIMIT can't be negative"); !ok {
			return 0, false
		}
	}
	return limit, true
}
