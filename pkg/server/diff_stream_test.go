package server

import (
	"fmt"
	"math/rand/v2"
)

// Random commands on streams. Times are never drawn from the clock, so that both servers have the
// same IDs; what idles is not asked for.
func init() {
	key := func(r *rand.Rand) string { return fmt.Sprint("k", r.IntN(3)) }
	group := func(r *rand.Rand) string { return fmt.Sprint("g", r.IntN(2)) }
	consumer := func(r *rand.Rand) string { return fmt.Sprint("c", r.IntN(3)) }
	id := func(r *rand.Rand) string {
		return fmt.Sprintf("%d-%d", r.IntN(1+r.IntN(400)), r.IntN(3))
	}
	edge := func(r *rand.Rand) string { return pick(r, "-", "+", id(r), "("+id(r), fmt.Sprint(r.IntN(300))) }
	count := func(r *rand.Rand) []string {
		if r.IntN(2) == 0 {
			return nil
		}
		return []string{"COUNT", fmt.Sprint(r.IntN(12))}
	}
	field := func(r *rand.Rand) string { return pick(r, "a", "b", "7", "long field name") }
	trim := func(r *rand.Rand) []string {
		how := pick(r, "", "=", "~")
		out := []string{"MAXLEN", how, fmt.Sprint(r.IntN(200))}
		if r.IntN(2) == 0 {
			out = []string{"MINID", how, id(r)}
		}
		if how == "" {
			return []string{out[0], out[2]}
		}
		if how == "~" && r.IntN(2) == 0 {
			out = append(out, "LIMIT", fmt.Sprint(r.IntN(250)))
		}
		return out
	}
	add := func(r *rand.Rand) []string {
		var fields []string
		for range 1 + r.IntN(1+r.IntN(3)) {
			fields = append(fields, field(r), anyValue(r))
		}
		var opts []string
		if r.IntN(20) == 0 {
			opts = trim(r)
		}
		at := fmt.Sprintf("%d-*", r.IntN(400))
		if r.IntN(4) == 0 {
			at = id(r)
		}
		return args("XADD", key(r), opts, at, fields)
	}
	rare := func(r *rand.Rand) []string {
		switch r.IntN(11) {
		case 0:
			return []string{"XGROUP", "CREATE", key(r), group(r), pick(r, "$", "0", id(r)), pick(r, "MKSTREAM", "ENTRIESREAD")}
		case 1, 2, 3:
			return []string{"XGROUP", "CREATE", key(r), group(r), pick(r, "$", "0", id(r))}
		case 4:
			return []string{"XGROUP", "DESTROY", key(r), group(r)}
		case 5:
			return []string{"XGROUP", "SETID", key(r), group(r), pick(r, "$", "0", id(r))}
		case 6:
			return []string{"XGROUP", pick(r, "DELCONSUMER", "CREATECONSUMER"), key(r), group(r), consumer(r)}
		case 7:
			return []string{"XSETID", key(r), id(r)}
		case 8:
			return args("XTRIM", key(r), trim(r))
		case 9:
			return []string{"COPY", key(r), key(r), "REPLACE"}
		}
		return []string{pick(r, "DEL", "XLEN"), key(r)}
	}
	generators["stream"] = func(r *rand.Rand) []string {
		k, g := key(r), group(r)
		switch r.IntN(20) {
		case 0:
			return rare(r)
		case 1, 2:
			return args(pick(r, "XRANGE", "XREVRANGE"), k, edge(r), edge(r), count(r))
		case 3:
			return args("XREAD", count(r), "STREAMS", k, key(r), id(r), pick(r, "$", id(r)))
		case 4:
			return args("XDEL", k, some(r, 1, 5, id))
		case 5, 6:
			return args("XREADGROUP", "GROUP", g, consumer(r), count(r), some(r, 0, 1, func(*rand.Rand) string { return "NOACK" }), "STREAMS", k, pick(r, ">", ">", id(r)))
		case 7:
			return args("XACK", k, g, some(r, 1, 5, id))
		case 8:
			return args("XCLAIM", k, g, consumer(r), "0", some(r, 1, 4, id), some(r, 0, 2, func(r *rand.Rand) string { return pick(r, "FORCE", "JUSTID") }))
		case 9:
			return args("XAUTOCLAIM", k, g, consumer(r), "0", id(r), count(r), some(r, 0, 1, func(*rand.Rand) string { return "JUSTID" }))
		case 10:
			return []string{"XPENDING", k, g}
		case 11:
			return []string{"XINFO", "GROUPS", k}
		case 12:
			return []string{"XINFO", "STREAM", k}
		}
		return add(r)
	}
}
