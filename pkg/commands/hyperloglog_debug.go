package commands

import (
	"math"
	"math/rand/v2"
	"strconv"

	"byor/pkg/engine"
	"byor/pkg/store"
)

// What Redis's own tests ask of HyperLogLog, and whoever wants to see one from inside.

func cmdPfdebug(c *engine.Call) {
	v, e, ok := engine.Edit[*store.String](c, c.Args[2])
	switch {
	case !ok:
		return
	case e == nil:
		c.Fail("ERR The specified key does not exist")
		return
	case !checkHLL(c, v):
		return
	}
	switch {
	case c.Is(1, "getreg"):
		replyRegisters(c, v, e)
	case c.Is(1, "decode"):
		hllRuns(c, v.View())
	case c.Is(1, "encoding"):
		c.Reply.SimpleString([]string{hllDense: "dense", hllSparse: "sparse"}[v.View()[4]])
	case c.Is(1, "todense"):
		changed, ok := hllMakeDense(c, v, e)
		if ok {
			c.Reply.Int(int64(btoi(changed)))
		}
	default:
		c.Fail("ERR Unknown PFDEBUG subcommand '" + string(c.Args[1]) + "'")
	}
}

// hllMakeDense gives the value its dense form and reports whether it was sparse.
func hllMakeDense(c *engine.Call, v *store.String, e *store.Entry) (changed, ok bool) {
	if v.View()[4] == hllDense {
		return false, true
	}
	b, err := hllToDense(v.View())
	if err != nil {
		c.Fail(err.Error())
		return false, false
	}
	v.SetRaw(b)
	c.Changed(e)
	return true, true
}

// replyRegisters replies all registers, and leaves the value dense, as in Redis.
func replyRegisters(c *engine.Call, v *store.String, e *store.Entry) {
	if _, ok := hllMakeDense(c, v, e); !ok {
		return
	}
	regs := v.View()[hllHeader:]
	c.Reply.Array(hllRegisters)
	for i := range hllRegisters {
		c.Reply.Int(int64(denseGet(regs, i)))
	}
}

// hllRuns replies the runs of the sparse form: z:1 and Z:1000 for zeros, v:5,2 for the value 5 twice.
func hllRuns(c *engine.Call, b []byte) {
	if b[4] != hllSparse {
		c.Fail("ERR HLL encoding is not sparse")
		return
	}
	var out []byte
	for regs := b[hllHeader:]; len(regs) > 0; {
		value, run, size := sparseRun(regs)
		switch {
		case size == 0:
			c.Fail(errHLL.Error())
			return
		case value > 0:
			out = append(out, "v:"...)
			out = append(strconv.AppendInt(out, int64(value), 10), ',')
		case size == 1:
			out = append(out, "z:"...)
		default:
			out = append(out, "Z:"...)
		}
		out = append(strconv.AppendInt(out, int64(run), 10), ' ')
		regs = regs[size:]
	}
	c.Reply.BulkString(string(out[:max(0, len(out)-1)]))
}

// hllMaxError is how far an estimate may be off for the self test: Redis allows as much, six times the
// standard error.
var hllMaxError = 6 * 1.04 / math.Sqrt(hllRegisters)

// cmdPfselftest tries whether registers keep what they are given, and whether both forms agree and
// estimate well.
func cmdPfselftest(c *engine.Call) {
	if msg := hllSelfTest(c.Settings().HLLSparseMaxBytes); msg != "" {
		c.Fail("TESTFAILED " + msg)
		return
	}
	c.Reply.OK()
}

func hllSelfTest(maxSparse int64) string {
	regs := make([]byte, hllDenseSize-hllHeader)
	var want [hllRegisters]byte
	for i := range want {
		want[i] = byte(rand.IntN(64))
		denseSet(regs, i, want[i])
	}
	for i, v := range want {
		if got := denseGet(regs, i); got != v {
			return "Register " + itoa(i) + " should be " + itoa(int(v)) + " but is " + itoa(int(got))
		}
	}
	dense, err := hllToDense(newHLL())
	grown := newHLL()
	seed := rand.Uint64()
	for n, check := 1, 1; n <= 100000 && err == nil; n++ {
		element := strconv.AppendUint(nil, seed^uint64(n), 10)
		dense, _, _ = hllAdd(dense, element, maxSparse)
		if grown, _, err = hllAdd(grown, element, maxSparse); err != nil || n < check {
			continue
		}
		check *= 10
		a, b := hllEstimate(dense), hllEstimate(grown)
		if a != b {
			return "dense/sparse disagree"
		}
		if off := math.Abs(float64(a) - float64(n)); off > math.Ceil(hllMaxError*float64(n)) {
			return "Too big error. card:" + itoa(n) + " abserr:" + itoa(int(off))
		}
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// hllEstimate counts anew, whatever estimate the header has.
func hllEstimate(b []byte) uint64 {
	histogram := [64]int{hllRegisters}
	hllEach(b, func(_ int, value byte) {
		histogram[0]--
		histogram[value]++
	})
	return hllCount(&histogram)
}
