package commands

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
)

// HyperLogLog as Redis keeps it in a string, byte for byte (hyperloglog.c), so that what was counted
// here goes on being counted there.
//
// An element's hash chooses one of 16384 registers, which holds the longest run of zero bits seen
// in the rest of the hash; from the registers the number of different elements is estimated. The
// string is a header and the registers, dense (6 bits each, 12 KB) or sparse, as runs:
//
//	00xxxxxx           1–64 registers that are 0
//	01xxxxxx xxxxxxxx  1–16384 registers that are 0
//	1vvvvvxx           1–4 registers that are v+1
//
// The header is "HYLL", the encoding, three unused bytes and the last estimate, little endian; the
// highest bit of that says that it is out of date.

const (
	hllBits      = 14
	hllRegisters = 1 << hllBits
	hllQ         = 64 - hllBits
	hllHeader    = 16
	hllDenseSize = hllHeader + hllRegisters*6/8
	hllDense     = 0
	hllSparse    = 1
	hllMaxSparse = 32 // the largest register that the sparse form can hold
)

// errHLL says that a sparse HyperLogLog does not add up to 16384 registers.
var errHLL = errors.New("INVALIDOBJ Corrupted HLL object detected")

// newHLL returns an empty HyperLogLog.
func newHLL() []byte {
	b := make([]byte, hllHeader+2, 64)
	copy(b, "HYLL")
	b[4] = hllSparse
	b[hllHeader], b[hllHeader+1] = 0x40|(hllRegisters-1)>>8, (hllRegisters-1)&0xFF
	return b
}

// isHLL reports whether b looks like a HyperLogLog.
func isHLL(b []byte) bool {
	return len(b) >= hllHeader && string(b[:4]) == "HYLL" &&
		(b[4] == hllSparse || b[4] == hllDense && len(b) == hllDenseSize)
}

// hllCached returns the estimate in the header, if it is up to date.
func hllCached(b []byte) (uint64, bool) {
	return binary.LittleEndian.Uint64(b[8:]), b[15]&0x80 == 0
}

func hllInvalidate(b []byte) { b[15] |= 0x80 }

// murmur64 is MurmurHash64A with Redis's seed.
func murmur64(key []byte) uint64 {
	const m = 0xc6a4a7935bd1e995
	h := uint64(0xadc83b19) ^ uint64(len(key))*m
	for ; len(key) >= 8; key = key[8:] {
		k := binary.LittleEndian.Uint64(key) * m
		k = (k ^ k>>47) * m
		h = (h ^ k) * m
	}
	if len(key) > 0 {
		for i := len(key) - 1; i >= 0; i-- {
			h ^= uint64(key[i]) << (8 * i)
		}
		h *= m
	}
	h = (h ^ h>>47) * m
	return h ^ h>>47
}

// hllRegister returns the register of an element and the value that it asks for.
func hllRegister(element []byte) (index int, value byte) {
	h := murmur64(element)
	rest := h>>hllBits | 1<<hllQ
	return int(h & (hllRegisters - 1)), byte(bits.TrailingZeros64(rest)) + 1
}

// hllAdd counts an element and reports whether that changed a register. It returns the string, which
// may have moved.
func hllAdd(b, element []byte, maxSparse int64) ([]byte, bool, error) {
	index, value := hllRegister(element)
	return hllSet(b, index, value, maxSparse)
}

// hllSet raises a register to value.
func hllSet(b []byte, index int, value byte, maxSparse int64) ([]byte, bool, error) {
	if b[4] == hllDense {
		return b, denseSet(b[hllHeader:], index, value), nil
	}
	if value > hllMaxSparse {
		return hllPromote(b, index, value)
	}
	return sparseSet(b, index, value, maxSparse)
}

func denseGet(regs []byte, i int) byte {
	at, shift := i*6/8, i*6&7
	v := uint16(regs[at]) >> shift
	if at+1 < len(regs) {
		v |= uint16(regs[at+1]) << (8 - shift)
	}
	return byte(v & 63)
}

func denseSet(regs []byte, i int, value byte) bool {
	if denseGet(regs, i) >= value {
		return false
	}
	at, shift := i*6/8, i*6&7
	regs[at] = regs[at]&^(63<<shift) | value<<shift
	if shift > 2 {
		regs[at+1] = regs[at+1]&^(63>>(8-shift)) | value>>(8-shift)
	}
	return true
}

// sparseRun reads the run at the start of b: the value of its registers, how many they are, and the
// bytes that it takes, 0 when it is cut off.
func sparseRun(b []byte) (value byte, run, size int) {
	switch c := b[0]; {
	case c&0x80 != 0:
		return c>>2&31 + 1, int(c&3) + 1, 1
	case c&0x40 == 0:
		return 0, int(c&63) + 1, 1
	case len(b) < 2:
		return 0, 0, 0
	default:
		return 0, int(c&63)<<8 + int(b[1]) + 1, 2
	}
}

func sparseVal(value byte, run int) byte { return 0x80 | (value-1)<<2 | byte(run-1) }

func appendZeros(seq []byte, run int) []byte {
	if run > 64 {
		return append(seq, 0x40|byte((run-1)>>8), byte(run-1))
	}
	return append(seq, byte(run-1))
}

// sparseSet raises a register of the sparse form, whose runs are split and merged in place.
func sparseSet(b []byte, index int, value byte, maxSparse int64) ([]byte, bool, error) {
	p, prev, first := hllHeader, hllHeader, 0
	var old byte
	var run, size int
	for {
		if p >= len(b) {
			return b, false, errHLL
		}
		if old, run, size = sparseRun(b[p:]); size == 0 {
			return b, false, errHLL
		}
		if index < first+run {
			break
		}
		prev = p
		p += size
		first += run
	}
	if old >= value {
		return b, false, nil
	}
	seq := splitRun(make([]byte, 0, 5), old, index-first, value, first+run-1-index)
	delta := len(seq) - size
	if delta > 0 && int64(len(b)+delta) > maxSparse {
		return hllPromote(b, index, value)
	}
	end := len(b)
	if delta > 0 {
		b = append(b, seq[:delta]...)
	}
	copy(b[p+len(seq):], b[p+size:end])
	b = b[:end+delta]
	copy(b[p:], seq)
	b = mergeRuns(b, prev)
	hllInvalidate(b)
	return b, true, nil
}

// splitRun appends what becomes of a run when the register behind before others changes.
func splitRun(seq []byte, old byte, before int, value byte, after int) []byte {
	add := func(run int) {
		switch {
		case run == 0:
		case old == 0:
			seq = appendZeros(seq, run)
		default:
			seq = append(seq, sparseVal(old, run))
		}
	}
	add(before)
	seq = append(seq, sparseVal(value, 1))
	add(after)
	return seq
}

// mergeRuns joins runs of the same value among the five from p on, which is all that a change of
// one register can have brought together.
func mergeRuns(b []byte, p int) []byte {
	for range 5 {
		if p >= len(b) {
			break
		}
		value, run, size := sparseRun(b[p:])
		if size == 0 {
			break
		}
		if value > 0 && p+1 < len(b) && b[p+1]&0x80 != 0 {
			v2, run2, _ := sparseRun(b[p+1:])
			if v2 == value && run+run2 <= 4 {
				b[p+1] = sparseVal(value, run+run2)
				b = append(b[:p], b[p+1:]...)
				continue
			}
		}
		p += size
	}
	return b
}

// hllPromote makes the dense form and raises a register in it.
func hllPromote(b []byte, index int, value byte) ([]byte, bool, error) {
	d, err := hllToDense(b)
	if err != nil {
		return b, false, err
	}
	return d, denseSet(d[hllHeader:], index, value), nil
}

// hllToDense returns the dense form.
func hllToDense(b []byte) ([]byte, error) {
	if b[4] == hllDense {
		return b, nil
	}
	d := make([]byte, hllDenseSize)
	copy(d, b[:hllHeader])
	d[4] = hllDense
	err := hllEach(b, func(i int, value byte) { denseSet(d[hllHeader:], i, value) })
	return d, err
}

// hllEach calls fn for each register that is not 0.
func hllEach(b []byte, fn func(i int, value byte)) error {
	regs := b[hllHeader:]
	if b[4] == hllDense {
		for i := range hllRegisters {
			if v := denseGet(regs, i); v > 0 {
				fn(i, v)
			}
		}
		return nil
	}
	i := 0
	for p := 0; p < len(regs); {
		value, run, size := sparseRun(regs[p:])
		if size == 0 || i+run > hllRegisters {
			return errHLL
		}
		for k := range run {
			if value == 0 {
				break
			}
			fn(i+k, value)
		}
		i += run
		p += size
	}
	if i != hllRegisters {
		return errHLL
	}
	return nil
}

// hllCount estimates the number of elements from how many registers have which value: Otmar Ertl,
// "New cardinality estimation algorithms for HyperLogLog sketches", 2017.
func hllCount(histogram *[64]int) uint64 {
	const m = float64(hllRegisters)
	z := m * hllTau((m-float64(histogram[hllQ+1]))/m)
	for j := hllQ; j >= 1; j-- {
		z = (z + float64(histogram[j])) * 0.5
	}
	z += float64(m * hllSigma(float64(histogram[0])/m))
	return uint64(math.Round(0.721347520444481703680 * m * m / z))
}

func hllTau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	y, z := 1.0, 1-x
	for {
		before := z
		x = math.Sqrt(x)
		y *= 0.5
		z -= float64(float64((1-x)*(1-x)) * y) // no fused operation: every machine gives the same sum
		if z == before {
			return z / 3
		}
	}
}

func hllSigma(x float64) float64 {
	if x == 1 {
		return math.Inf(1)
	}
	y, z := 1.0, x
	for {
		before := z
		x *= x
		z += float64(x * y)
		y += y
		if z == before {
			return z
		}
	}
}
