package rdb

import "errors"

// LZF is Marc Lehmann's compression, which looks back at most 8 KB and has two kinds of items,
// told apart by the first byte c:
//
//	c < 32   c+1 bytes to copy from the input
//	else     a length of (c>>5)+2 bytes to repeat; when c>>5 is 7 a byte follows to be added to it;
//	         then how far back they begin: (c&31)<<8, plus one more byte, plus 1
const (
	lzfMaxLiteral = 32
	lzfMaxBack    = 1 << 13
	lzfMaxRepeat  = 264
	lzfHashBits   = 14
	// lzfMaxRatio bounds what a compressed byte can become: three make at most 264.
	lzfMaxRatio = lzfMaxRepeat / 3
)

var errLZF = errors.New("LZF data does not decompress to its length")

// lzfDecompress appends the size bytes that src stands for to dst. The caller has checked size.
func lzfDecompress(dst, src []byte, size int) ([]byte, error) {
	start := len(dst)
	for i := 0; i < len(src); {
		c := int(src[i])
		i++
		if c < lzfMaxLiteral {
			if i+c+1 > len(src) || len(dst)-start+c+1 > size {
				return dst, errLZF
			}
			dst = append(dst, src[i:i+c+1]...)
			i += c + 1
			continue
		}
		n := c >> 5
		if n == 7 && i < len(src) {
			n += int(src[i])
			i++
		}
		if i >= len(src) {
			return dst, errLZF
		}
		from := len(dst) - (c&31)<<8 - int(src[i]) - 1
		i++
		n += 2
		if from < start || len(dst)-start+n > size {
			return dst, errLZF
		}
		// What is repeated may reach into what the repetition writes: "aaaa" is an "a" and "three
		// more from one back". So no more than the distance is copied at once.
		for n > 0 {
			m := min(n, len(dst)-from)
			dst = append(dst, dst[from:from+m]...)
			n -= m
		}
	}
	if len(dst)-start != size {
		return dst, errLZF
	}
	return dst, nil
}

// lzfState is the compressor's memory of where it has seen three bytes last. It is kept from one
// string to the next without being cleared: positions count on, so that older ones are too far
// back to be used.
type lzfState struct {
	seen [1 << lzfHashBits]uint32
	base uint32 // position of the next string's first byte
}

// compress appends src, which is at least 4 bytes long, in compressed form to dst. It reports
// false, and what it appended means nothing, when that would take more than limit bytes.
func (s *lzfState) compress(dst, src []byte, limit int) ([]byte, bool) {
	if uint64(s.base)+uint64(len(src))+2*lzfMaxBack > 1<<32 || s.base == 0 {
		clear(s.seen[:])
		s.base = lzfMaxBack + 1 // so that 0 is too far back
	}
	base := s.base
	s.base += uint32(len(src)) + lzfMaxBack
	end := len(dst) + limit
	lit := 0 // src[lit:i] is still to be written as literals
	i := 0
	for i < len(src)-2 {
		h := lzfHash(src[i:])
		pos := base + uint32(i)
		back := int(pos - s.seen[h])
		s.seen[h] = pos
		ref := i - back
		if back > lzfMaxBack || ref < 0 || src[ref] != src[i] || src[ref+1] != src[i+1] || src[ref+2] != src[i+2] {
			i += 1 + (i-lit)>>6 // the longer nothing repeats, the less is it worth to look
			continue
		}
		n, most := 3, min(lzfMaxRepeat, len(src)-i)
		for n < most && src[ref+n] == src[i+n] {
			n++
		}
		dst = lzfLiterals(dst, src[lit:i])
		dst = lzfRepeat(dst, n, back-1)
		if len(dst) > end {
			return dst, false
		}
		// Of what was repeated only the end is worth remembering: it is the nearest.
		for j := max(i+1, i+n-2); j < i+n && j < len(src)-2; j++ {
			s.seen[lzfHash(src[j:])] = base + uint32(j)
		}
		i += n
		lit = i
	}
	if len(dst)+len(src)-lit > end {
		return dst, false
	}
	dst = lzfLiterals(dst, src[lit:])
	return dst, len(dst) <= end
}

func lzfHash(b []byte) uint32 {
	_ = b[2]
	v := uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
	return v * 2654435761 >> (32 - lzfHashBits)
}

func lzfLiterals(dst, lit []byte) []byte {
	for len(lit) > 0 {
		n := min(len(lit), lzfMaxLiteral)
		dst = append(append(dst, byte(n-1)), lit[:n]...)
		lit = lit[n:]
	}
	return dst
}

func lzfRepeat(dst []byte, n, back int) []byte {
	n -= 2
	if n < 7 {
		return append(dst, byte(n<<5|back>>8), byte(back))
	}
	return append(dst, byte(7<<5|back>>8), byte(n-7), byte(back))
}
