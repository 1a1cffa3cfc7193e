// Package lzf packs and unpacks bytes in the format of LZF, Marc Lehmann's compression, which Redis uses
// for strings in its snapshots (lzf_c.c and lzf_d.c there).
//
// LZF looks back at most 8 KB and has two kinds of items, told apart by the first byte c:
//
//	c < 32   c+1 bytes to copy from the input
//	else     a length of (c>>5)+2 bytes to repeat; when c>>5 is 7 a byte follows to be added to it;
//	         then how far back they begin: (c&31)<<8, plus one more byte, plus 1
//
// The format says neither how long the packed bytes are nor what they become: who stores them has to
// store both lengths too.
package lzf

import "errors"

// MaxRatio bounds what a packed byte can become: three make at most 264. A reader who is told a size
// beyond that need not take memory to see that it is wrong.
const MaxRatio = maxRepeat / 3

const (
	maxLiteral = 32
	maxBack    = 1 << 13
	maxRepeat  = 264
	hashBits   = 14
)

// ErrCorrupt is what Decompress returns for what no compressor has written, or for a wrong size.
var ErrCorrupt = errors.New("LZF data does not decompress to its length")

// Decompress appends the size bytes that src stands for to dst. Whatever src holds, it does not
// panic, and it appends no more than size bytes. It takes memory as they come, not for size in advance.
func Decompress(dst, src []byte, size int) ([]byte, error) {
	start := len(dst)
	for i := 0; i < len(src); {
		c := int(src[i])
		i++
		if c < maxLiteral {
			if i+c+1 > len(src) || len(dst)-start+c+1 > size {
				return dst, ErrCorrupt
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
			return dst, ErrCorrupt
		}
		from := len(dst) - (c&31)<<8 - int(src[i]) - 1
		i++
		n += 2
		if from < start || len(dst)-start+n > size {
			return dst, ErrCorrupt
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
		return dst, ErrCorrupt
	}
	return dst, nil
}

// A Compressor remembers where it has seen three bytes last. The zero value is ready to use, by one
// goroutine at a time. The memory is kept from one string to the next without being cleared: positions
// count on, so that older ones are too far back to be used.
type Compressor struct {
	seen [1 << hashBits]uint32
	base uint32 // position of the next string's first byte
}

// Compress appends src, which has less than 4 GB, in compressed form to dst. It reports false, and what it appended
// means nothing, when that would take more than limit bytes.
func (s *Compressor) Compress(dst, src []byte, limit int) ([]byte, bool) {
	if uint64(s.base)+uint64(len(src))+2*maxBack > 1<<32 || s.base == 0 {
		clear(s.seen[:])
		s.base = maxBack + 1 // so that 0 is too far back
	}
	base := s.base
	s.base += uint32(len(src)) + maxBack
	end := len(dst) + limit
	lit := 0 // src[lit:i] is still to be written as literals
	i := 0
	for i < len(src)-2 {
		h := hash(src[i:])
		pos := base + uint32(i)
		back := int(pos - s.seen[h])
		s.seen[h] = pos
		ref := i - back
		if back > maxBack || ref < 0 || src[ref] != src[i] || src[ref+1] != src[i+1] || src[ref+2] != src[i+2] {
			i += 1 + (i-lit)>>6 // the longer nothing repeats, the less is it worth to look
			continue
		}
		n, most := 3, min(maxRepeat, len(src)-i)
		for n < most && src[ref+n] == src[i+n] {
			n++
		}
		dst = appendLiterals(dst, src[lit:i])
		dst = appendRepeat(dst, n, back-1)
		if len(dst) > end {
			return dst, false
		}
		// Of what was repeated only the end is worth remembering: it is the nearest.
		for j := max(i+1, i+n-2); j < i+n && j < len(src)-2; j++ {
			s.seen[hash(src[j:])] = base + uint32(j)
		}
		i += n
		lit = i
	}
	if len(dst)+len(src)-lit > end {
		return dst, false
	}
	dst = appendLiterals(dst, src[lit:])
	return dst, len(dst) <= end
}

func hash(b []byte) uint32 {
	_ = b[2]
	v := uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
	return v * 2654435761 >> (32 - hashBits)
}

func appendLiterals(dst, lit []byte) []byte {
	for len(lit) > 0 {
		n := min(len(lit), maxLiteral)
		dst = append(append(dst, byte(n-1)), lit[:n]...)
		lit = lit[n:]
	}
	return dst
}

func appendRepeat(dst []byte, n, back int) []byte {
	n -= 2
	if n < 7 {
		return append(dst, byte(n<<5|back>>8), byte(back))
	}
	return append(dst, byte(7<<5|back>>8), byte(n-7), byte(back))
}
