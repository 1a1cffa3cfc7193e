package commands

import (
	"encoding/binary"
	"math/bits"

	"byor/pkg/engine"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// Bitmaps are strings whose bits are counted from the most significant of the first byte.

func init() {
	key := engine.At(1, 1, 1)
	engine.Register("bitmap", []engine.Command{
		{Name: "setbit", Arity: 4, Flags: engine.Write | engine.DenyOOM, Keys: key, Handler: cmdSetbit},
		{Name: "getbit", Arity: 3, Flags: engine.ReadOnly | engine.Fast, Keys: key, Handler: cmdGetbit},
		{Name: "bitcount", Arity: -2, Flags: engine.ReadOnly, Keys: key, Handler: cmdBitcount},
		{Name: "bitpos", Arity: -3, Flags: engine.ReadOnly, Keys: key, Handler: cmdBitpos},
		{Name: "bitop", Arity: -4, Flags: engine.Write | engine.DenyOOM, Keys: engine.At(2, -1, 1), Event: "set", Handler: cmdBitop},
		{Name: "bitfield", Arity: -2, Flags: engine.Write | engine.DenyOOM, Keys: key, Event: "setbit", Handler: cmdBitfield},
		{Name: "bitfield_ro", Arity: -2, Flags: engine.ReadOnly | engine.Fast, Keys: key, Handler: cmdBitfield},
	})
}

// bitOffset parses argument i as the offset of a bit. "#3" is three times width, where width > 0.
func bitOffset(c *engine.Call, i int, width int64) (int64, bool) {
	a, times := c.Args[i], int64(1)
	if width > 0 && len(a) > 0 && a[0] == '#' {
		a, times = a[1:], width
	}
	n, ok := resp.ParseInt(a)
	n *= times
	if !ok || n < 0 || !c.Trusted() && n>>3 >= c.Settings().MaxBulk {
		c.Fail("ERR bit offset is not an integer or out of range")
		return 0, false
	}
	return n, true
}

// bitsToEdit returns the string of key as bytes to be edited, made long enough to hold bit last. A
// new one is in the database already. grown says whether it was made or made longer.
func bitsToEdit(c *engine.Call, key []byte, last int64) (b []byte, e *store.Entry, grown, ok bool) {
	v, e, ok := engine.Edit[*store.String](c, key)
	if !ok {
		return nil, nil, false, false
	}
	if e == nil {
		v = store.NewString(nil)
		v.Grow(int(last>>3) + 1)
		e, grown = c.DB.Set(key, v), true
	}
	grown = grown || v.Len() <= int(last>>3)
	b = v.Grow(int(last>>3) + 1)
	c.DB.Changed(e)
	return b, e, grown, true
}

func cmdSetbit(c *engine.Call) {
	at, ok := bitOffset(c, 2, 0)
	if !ok {
		return
	}
	on, ok := resp.ParseInt(c.Args[3])
	if !ok || on&^1 != 0 {
		c.Fail("ERR bit is not an integer or out of range")
		return
	}
	b, e, grown, ok := bitsToEdit(c, c.Args[1], at)
	if !ok {
		return
	}
	shift := 7 - at&7
	old := int64(b[at>>3]>>shift) & 1
	if grown || old != on {
		b[at>>3] = b[at>>3]&^(1<<shift) | byte(on)<<shift
		c.Changed(e)
	}
	c.Reply.Int(old)
}

func cmdGetbit(c *engine.Call) {
	at, ok := bitOffset(c, 2, 0)
	if !ok {
		return
	}
	v, ok := engine.Fetch[*store.String](c, c.Args[1])
	if !ok {
		return
	}
	bit := int64(0)
	if v != nil {
		if b := v.View(); at>>3 < int64(len(b)) {
			bit = int64(b[at>>3]>>(7-at&7)) & 1
		}
	}
	c.Reply.Int(bit)
}

// bitUnit parses argument i as BYTE or BIT.
func bitUnit(c *engine.Call, i int) (isBit, ok bool) {
	isBit = c.Is(i, "bit")
	if !isBit && !c.Is(i, "byte") {
		c.Fail(engine.ErrSyntax)
		return false, false
	}
	return isBit, true
}

// bitRange turns the first and last byte, or bit, of a range, which count from the end where they
// are negative, into the first and last bit. The range is empty when first > last.
func bitRange(start, end int64, size int, isBit bool) (first, last int64) {
	total := int64(size)
	if isBit {
		total *= 8
	}
	if start < 0 {
		start = max(0, start+total)
	}
	if end < 0 {
		end = max(0, end+total)
	}
	end = min(end, total-1)
	if isBit || start > end {
		return start, end
	}
	return start * 8, end*8 + 7
}

func cmdBitcount(c *engine.Call) {
	v, ok := engine.Fetch[*store.String](c, c.Args[1])
	if !ok {
		return
	}
	if v == nil {
		c.Reply.Int(0)
		return
	}
	b := v.View()
	first, last := int64(0), int64(len(b))*8-1
	switch n := len(c.Args); n {
	case 2:
	case 4, 5:
		start, ok := c.IntArg(2)
		if !ok {
			return
		}
		end, ok := c.IntArg(3)
		if !ok {
			return
		}
		if start < 0 && end < 0 && start > end {
			c.Reply.Int(0)
			return
		}
		isBit := false
		if n == 5 {
			if isBit, ok = bitUnit(c, 4); !ok {
				return
			}
		}
		first, last = bitRange(start, end, len(b), isBit)
	default:
		c.Fail(engine.ErrSyntax)
		return
	}
	if first > last {
		c.Reply.Int(0)
		return
	}
	c.Reply.Int(int64(countBits(b, first, last)))
}

// countBits counts the bits that are set from first to last, both included.
func countBits(b []byte, first, last int64) (n int) {
	lead, trail := byte(0xFF)>>(first&7), byte(0xFF)<<(7-last&7)
	b = b[first>>3 : last>>3+1]
	if len(b) == 1 {
		return bits.OnesCount8(b[0] & lead & trail)
	}
	n = bits.OnesCount8(b[0]&lead) + bits.OnesCount8(b[len(b)-1]&trail)
	b = b[1 : len(b)-1]
	for ; len(b) >= 8; b = b[8:] {
		n += bits.OnesCount64(binary.LittleEndian.Uint64(b))
	}
	for _, x := range b {
		n += bits.OnesCount8(x)
	}
	return n
}

// findBit returns the position of the first bit from first to last that is set, or clear, else -1.
func findBit(b []byte, first, last int64, set bool) int64 {
	flip := byte(0xFF)
	if set {
		flip = 0
	}
	for i := first >> 3; i <= last>>3; i++ {
		for i+8 <= last>>3 && i > first>>3 && binary.LittleEndian.Uint64(b[i:]) == uint64(flip)*0x0101010101010101 {
			i += 8
		}
		x := b[i] ^ flip
		if i == first>>3 {
			x &= 0xFF >> (first & 7)
		}
		if x != 0 {
			if at := i*8 + int64(bits.LeadingZeros8(x)); at <= last {
				return at
			}
			return -1
		}
	}
	return -1
}

func cmdBitpos(c *engine.Call) {
	bit, ok := c.IntArg(2)
	if !ok {
		return
	}
	if bit != 0 && bit != 1 {
		c.Fail("ERR The bit argument must be 1 or 0.")
		return
	}
	v, ok := engine.Fetch[*store.String](c, c.Args[1])
	if !ok {
		return
	}
	if v == nil { // an absent string is a string of zeros without an end
		c.Reply.Int(-bit)
		return
	}
	b := v.View()
	first, last, ok := bitposRange(c, len(b))
	if !ok {
		return
	}
	at := int64(-1)
	if first <= last {
		at = findBit(b, first, last, bit == 1)
		if at < 0 && bit == 0 && len(c.Args) < 5 { // no end was given: behind the string all is zero
			at = last + 1
		}
	}
	c.Reply.Int(at)
}

func bitposRange(c *engine.Call, size int) (first, last int64, ok bool) {
	n := len(c.Args)
	if n == 3 {
		return 0, int64(size)*8 - 1, true
	}
	if n > 6 {
		c.Fail(engine.ErrSyntax)
		return 0, 0, false
	}
	start, ok := c.IntArg(3)
	if !ok {
		return 0, 0, false
	}
	isBit, end := false, int64(size)-1
	if n == 6 {
		if isBit, ok = bitUnit(c, 5); !ok {
			return 0, 0, false
		}
	}
	if n >= 5 {
		if end, ok = c.IntArg(4); !ok {
			return 0, 0, false
		}
	}
	first, last = bitRange(start, end, size, isBit)
	return first, last, true
}

func cmdBitop(c *engine.Call) {
	op := byte(0)
	for _, name := range []string{"and", "or", "xor", "not"} {
		if c.Is(1, name) {
			op = name[0]
		}
	}
	if op == 0 {
		c.Fail(engine.ErrSyntax)
		return
	}
	if op == 'n' && len(c.Args) != 4 {
		c.Fail("ERR BITOP NOT must be called with a single source key.")
		return
	}
	var sources [][]byte
	size := 0
	for _, key := range c.Args[3:] {
		v, ok := engine.Fetch[*store.String](c, key)
		if !ok {
			return
		}
		var b []byte
		if v != nil {
			b = v.View()
		}
		sources = append(sources, b)
		size = max(size, len(b))
	}
	if size == 0 {
		c.Del(c.Args[2])
	} else {
		v := store.NewString(nil)
		combine(v.Grow(size), op, sources)
		c.Set(c.Args[2], v)
	}
	c.Reply.Int(int64(size))
}

// combine computes the operation over sources, as long as dst with zeros behind them.
func combine(dst []byte, op byte, sources [][]byte) {
	copy(dst, sources[0])
	if op == 'n' {
		for i := range dst {
			dst[i] = ^dst[i]
		}
	}
	for _, src := range sources[1:] {
		switch op {
		case 'a':
			for i, x := range src {
				dst[i] &= x
			}
			clear(dst[len(src):])
		case 'o':
			for i, x := range src {
				dst[i] |= x
			}
		case 'x':
			for i, x := range src {
				dst[i] ^= x
			}
		}
	}
}
