package diff

import (
	"fmt"
	"math/rand/v2"
)

// Random commands on streams. Times are never drawn from the clock, so that both servers have the
// same IDs; what idles is not asked for.
func init() { generators["stream"] = streamCommand }

func streamKey(r *rand.Rand) string { return fmt.Sprint("k", r.IntN(3)) }

func streamGroup(r *rand.Rand) string { return fmt.Sprint("g", r.IntN(2)) }

func streamConsumer(r *rand.Rand) string { return fmt.Sprint("c", r.IntN(3)) }

func streamIDWord(r *rand.Rand) string {
	return fmt.Sprintf("%d-%d", r.IntN(1+r.IntN(400)), r.IntN(3))
}

func streamEdge(r *rand.Rand) string {
	return pick(r, "-", "+", streamIDWord(r), "("+streamIDWord(r), fmt.Sprint(r.IntN(300)))
}

func streamCount(r *rand.Rand) []string {
	if r.IntN(2) == 0 {
		return nil
	}
	return []string{"COUNT", fmt.Sprint(r.IntN(12))}
}

func streamField(r *rand.Rand) string { return pick(r, "a", "b", "7", "long field name") }

func streamTrim(r *rand.Rand) []string {
	how := pick(r, "", "=", "~")
	out := []string{"MAXLEN", how, fmt.Sprint(r.IntN(200))}
	if r.IntN(2) == 0 {
		out = []string{"MINID", how, streamIDWord(r)}
	}
	if how == "" {
		return []string{out[0], out[2]}
	}
	if how == "~" && r.IntN(2) == 0 {
		out = append(out, "LIMIT", fmt.Sprint(r.IntN(250)))
	}
	return out
}

func streamAdd(r *rand.Rand) []string {
	var fields []string
	for range 1 + r.IntN(1+r.IntN(3)) {
		fields = append(fields, streamField(r), anyValue(r))
	}
	var opts []string
	if r.IntN(20) == 0 {
		opts = streamTrim(r)
	}
	at := fmt.Sprintf("%d-*", r.IntN(400))
	if r.IntN(4) == 0 {
		at = streamIDWord(r)
	}
	return args("XADD", streamKey(r), opts, at, fields)
}

func streamRare(r *rand.Rand) []string {
	switch r.IntN(11) {
	case 0:
		return []string{"XGROUP", "CREATE", streamKey(r), streamGroup(r), pick(r, "$", "0", streamIDWord(r)), pick(r, "MKSTREAM", "ENTRIESREAD")}
	case 1, 2, 3:
		return []string{"XGROUP", "CREATE", streamKey(r), streamGroup(r), pick(r, "$", "0", streamIDWord(r))}
	case 4:
		return []string{"XGROUP", "DESTROY", streamKey(r), streamGroup(r)}
	case 5:
		return []string{"XGROUP", "SETID", streamKey(r), streamGroup(r), pick(r, "$", "0", streamIDWord(r))}
	case 6:
		return []string{"XGROUP", pick(r, "DELCONSUMER", "CREATECONSUMER"), streamKey(r), streamGroup(r), streamConsumer(r)}
	case 7:
		return []string{"XSETID", streamKey(r), streamIDWord(r)}
	case 8:
		return args("XTRIM", streamKey(r), streamTrim(r))
	case 9:
		return []string{"COPY", streamKey(r), streamKey(r), "REPLACE"}
	}
	return []string{pick(r, "DEL", "XLEN"), streamKey(r)}
}

func streamCommand(r *rand.Rand) []string {
	k, g := streamKey(r), streamGroup(r)
	switch r.IntN(20) {
	case 0:
		return streamRare(r)
	case 1, 2:
		return args(pick(r, "XRANGE", "XREVRANGE"), k, streamEdge(r), streamEdge(r), streamCount(r))
	case 3:
		return args("XREAD", streamCount(r), "STREAMS", k, streamKey(r), streamIDWord(r), pick(r, "$", streamIDWord(r)))
	case 4:
		return args("XDEL", k, some(r, 1, 5, streamIDWord))
	case 5, 6:
		return args("XREADGROUP", "GROUP", g, streamConsumer(r), streamCount(r), some(r, 0, 1, func(*rand.Rand) string { return "NOACK" }), "STREAMS", k, pick(r, ">", ">", streamIDWord(r)))
	case 7:
		return args("XACK", k, g, some(r, 1, 5, streamIDWord))
	case 8:
		return args("XCLAIM", k, g, streamConsumer(r), "0", some(r, 1, 4, streamIDWord), some(r, 0, 2, func(r *rand.Rand) string { return pick(r, "FORCE", "JUSTID") }))
	case 9:
		return args("XAUTOCLAIM", k, g, streamConsumer(r), "0", streamIDWord(r), streamCount(r), some(r, 0, 1, func(*rand.Rand) string { return "JUSTID" }))
	case 10:
		return []string{"XPENDING", k, g}
	case 11:
		return []string{"XINFO", "GROUPS", k}
	case 12:
		return []string{"XINFO", "STREAM", k}
	}
	return streamAdd(r)
}
