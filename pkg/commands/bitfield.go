package commands

import (
	"math"

	"byor/pkg/engine"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// BITFIELD: integers of any width up to 64 bits at any place of a string.

// fieldOp is one operation of a BITFIELD.
type fieldOp struct {
	name     byte // g, s or i: GET, SET, INCRBY
	signed   bool
	width    int64
	at       int64 // offset of its first bit
	value    int64
	overflow byte // w, s or f: WRAP, SAT, FAIL
}

// parseBitfield parses all operations and returns the last bit that one of them writes, -1 for none.
func parseBitfield(c *engine.Call) (ops []fieldOp, last int64, ok bool) {
	overflow := byte('w')
	last = -1
	for i := 2; i < len(c.Args); i++ {
		left := len(c.Args) - i - 1
		op := fieldOp{overflow: overflow}
		switch {
		case c.Is(i, "get") && left >= 2:
			op.name = 'g'
		case c.Is(i, "set") && left >= 3:
			op.name = 's'
		case c.Is(i, "incrby") && left >= 3:
			op.name = 'i'
		case c.Is(i, "overflow") && left >= 1:
			i++
			if !c.Is(i, "wrap") && !c.Is(i, "sat") && !c.Is(i, "fail") {
				c.Fail("ERR Invalid OVERFLOW type specified")
				return nil, 0, false
			}
			overflow = c.Args[i][0] | 0x20
			continue
		default:
			c.Fail(engine.ErrSyntax)
			return nil, 0, false
		}
		if op.signed, op.width, ok = fieldType(c, i+1); !ok {
			return nil, 0, false
		}
		if op.at, ok = bitOffset(c, i+2, op.width); !ok {
			return nil, 0, false
		}
		i += 2
		if op.name != 'g' {
			last = max(last, op.at+op.width-1)
			i++
			if op.value, ok = c.IntArg(i); !ok {
				return nil, 0, false
			}
		}
		ops = append(ops, op)
	}
	return ops, last, true
}

// fieldType parses argument i as a type such as i16 or u8.
func fieldType(c *engine.Call, i int) (signed bool, width int64, ok bool) {
	if a := c.Args[i]; len(a) > 1 && (a[0] == 'i' || a[0] == 'u') {
		signed = a[0] == 'i'
		if width, ok = resp.ParseInt(engine.CString(a[1:])); ok && width >= 1 && (width < 64 || width == 64 && signed) {
			return signed, width, true
		}
	}
	c.Fail("ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.")
	return false, 0, false
}

// cmdBitfield is BITFIELD and BITFIELD_RO.
func cmdBitfield(c *engine.Call) {
	ops, last, ok := parseBitfield(c)
	if !ok {
		return
	}
	if last < 0 {
		readFields(c, ops)
		return
	}
	if c.Cmd.Name == "bitfield_ro" {
		c.Fail("ERR BITFIELD_RO only supports the GET subcommand")
		return
	}
	b, e, grown, ok := bitsToEdit(c, c.Args[1], last)
	if !ok {
		return
	}
	changes := 0
	c.Reply.Array(len(ops))
	for _, op := range ops {
		old := op.get(b)
		if op.name == 'g' {
			c.Reply.Int(old)
			continue
		}
		value, fits := op.apply(old)
		if !fits {
			c.Reply.Null()
			continue
		}
		putBits(b, op.at, op.width, uint64(value))
		if grown || old != value {
			changes++
		}
		if op.name == 's' {
			value = old
		}
		c.Reply.Int(value)
	}
	if changes > 0 {
		c.Changed(e)
		c.Counts(changes)
	}
}

// readFields is a BITFIELD that only reads.
func readFields(c *engine.Call, ops []fieldOp) {
	v, ok := engine.Fetch[*store.String](c, c.Args[1])
	if !ok {
		return
	}
	var b []byte
	if v != nil {
		b = v.View()
	}
	c.Reply.Array(len(ops))
	for _, op := range ops {
		c.Reply.Int(op.get(b))
	}
}

// get reads the field, with zeros behind the end of b.
func (op *fieldOp) get(b []byte) int64 {
	v := getBits(b, op.at, op.width)
	if op.signed && op.width < 64 && v>>(op.width-1) != 0 {
		v |= math.MaxUint64 << op.width
	}
	return int64(v)
}

// apply returns what the field becomes, and false when that overflows and is not to be done.
func (op *fieldOp) apply(old int64) (int64, bool) {
	base, incr := old, op.value
	if op.name == 's' {
		base, incr = op.value, 0
	}
	over := op.overflowOf(base, incr)
	switch {
	case over == 0:
		return base + incr, true
	case op.overflow == 'f':
		return 0, false
	case op.overflow == 's':
		return op.limit(over), true
	}
	wrapped := fieldOp{signed: op.signed, width: op.width}
	var b [8]byte
	putBits(b[:], 0, op.width, uint64(base+incr))
	return wrapped.get(b[:]), true
}

// limit returns the largest value of the type for 1, the smallest for -1.
func (op *fieldOp) limit(side int) int64 {
	switch {
	case !op.signed && side > 0:
		return int64(uint64(math.MaxUint64) >> (64 - op.width))
	case !op.signed:
		return 0
	case side > 0:
		return math.MaxInt64 >> (64 - op.width)
	}
	return math.MinInt64 >> (64 - op.width)
}

// overflowOf reports whether base+incr is beyond the type: 1 above, -1 below. base may be beyond it
// by itself, in a SET. A negative number given to an unsigned field is a large one.
func (op *fieldOp) overflowOf(base, incr int64) int {
	high, low := op.limit(1), op.limit(-1)
	if !op.signed {
		switch {
		case uint64(base) > uint64(high) || incr > 0 && incr > high-base:
			return 1
		case incr < 0 && incr < -base:
			return -1
		}
		return 0
	}
	// The differences wrap around where base is far beyond the type. Redis lives with that, and so a
	// SET of a very small number saturates at the largest.
	room, floor := high-base, low-base
	narrow := op.width < 64
	switch {
	case base > high || (narrow || base >= 0 && incr > 0) && incr > room:
		return 1
	case base < low || (narrow || base < 0 && incr < 0) && incr < floor:
		return -1
	}
	return 0
}

// getBits reads width bits from bit at on, most significant first.
func getBits(b []byte, at, width int64) (v uint64) {
	for i := at; i < at+width; {
		take := min(8-i&7, at+width-i) // bits of this byte
		var x byte
		if i>>3 < int64(len(b)) {
			x = b[i>>3]
		}
		x = x << (i & 7) >> (8 - take)
		v = v<<take | uint64(x)
		i += take
	}
	return v
}

// putBits writes the lowest width bits of v from bit at on. b must be long enough.
func putBits(b []byte, at, width int64, v uint64) {
	for i := at + width; i > at; {
		take := min((i-1)&7+1, i-at) // bits of the byte that ends, or in which the field ends, at i
		shift := (8 - i&7) & 7
		mask := byte(1<<take-1) << shift
		p := &b[(i-1)>>3]
		*p = *p&^mask | byte(v)<<shift&mask
		v >>= take
		i -= take
	}
}
