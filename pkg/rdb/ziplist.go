package rdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
)

// The two containers that small collections were stored in before the listpack. Nothing keeps
// them in memory any more; they are taken apart when a file has them.
//
// A ziplist is: its size (4 bytes), the offset of its last element (4), the number of elements
// (2, 65535 when there are more), the elements, 0xff. An element is the size of the one before it
// (1 byte, or 0xfe and 4), an encoding, and its bytes. Growing one element may make the next one's
// first field grow, and so on to the end: that is why Redis gave the format up.
const (
	ziplistHeader = 10
	zipmapBig     = 0xfe
	listEnd       = 0xff
)

var errEmptyZipmap = errors.New("zipmap is empty")

// eachZiplist calls fn for the elements of a ziplist. They are valid until fn returns.
func eachZiplist(b []byte, fn func(elem []byte)) error {
	if len(b) < ziplistHeader+1 {
		return fmt.Errorf("ziplist of %d bytes, expected at least %d", len(b), ziplistHeader+1)
	}
	if n := binary.LittleEndian.Uint32(b); uint64(n) != uint64(len(b)) {
		return fmt.Errorf("ziplist says it has %d bytes, but has %d", n, len(b))
	}
	var num [24]byte
	p, prev, last, count := ziplistHeader, 0, 0, 0
	for p < len(b) && b[p] != listEnd {
		elem, size, err := ziplistElement(b, p, prev, num[:0])
		if err != nil {
			return err
		}
		fn(elem)
		last, prev = p, size
		p += size
		count++
	}
	if p != len(b)-1 {
		return fmt.Errorf("ziplist ends at byte %d of %d", p, len(b))
	}
	if tail := binary.LittleEndian.Uint32(b[4:]); last != 0 && uint64(tail) != uint64(last) {
		return fmt.Errorf("ziplist says its last element is at %d, but it is at %d", tail, last)
	}
	if n := int(binary.LittleEndian.Uint16(b[8:])); n != 0xffff && n != count {
		return fmt.Errorf("ziplist says it has %d elements, but has %d", n, count)
	}
	return nil
}

// ziplistElement returns the element at p, which follows one of prev bytes, and how many bytes it
// takes.
func ziplistElement(b []byte, p, prev int, num []byte) (elem []byte, size int, err error) {
	// A copy with room behind it lets the header be read without a check for each byte of it.
	var head [16]byte
	copy(head[:], b[p:])
	before, h := uint32(head[0]), 1
	if head[0] == 0xfe {
		before, h = binary.LittleEndian.Uint32(head[1:]), 5
	}
	if uint64(before) != uint64(prev) {
		return nil, 0, fmt.Errorf("ziplist byte %d: expected the size of the element before, %d, found %d", p, prev, before)
	}
	n, skip, v, isInt := ziplistEncoding(head[h:])
	if skip == 0 {
		return nil, 0, fmt.Errorf("ziplist byte %d: expected an encoding, found 0x%02x", p+h, head[h])
	}
	h += skip
	if n > uint64(len(b)-1) || p+h+int(n) > len(b)-1 {
		return nil, 0, fmt.Errorf("ziplist byte %d: element of %d bytes is longer than the ziplist", p, uint64(h)+n)
	}
	if isInt {
		return strconv.AppendInt(num, v, 10), h + int(n), nil
	}
	return b[p+h : p+h+int(n)], h + int(n), nil
}

// ziplistEncoding decodes what follows the size of the element before: the length of the data,
// the length of the encoding (0 when it is none), and the value of an integer.
func ziplistEncoding(b []byte) (n uint64, skip int, v int64, isInt bool) {
	switch {
	case b[0]>>6 == 0:
		return uint64(b[0]), 1, 0, false
	case b[0]>>6 == 1:
		return uint64(b[0]&0x3f)<<8 | uint64(b[1]), 2, 0, false
	case b[0]>>6 == 2:
		return uint64(binary.BigEndian.Uint32(b[1:])), 5, 0, false
	}
	d := b[1:]
	switch b[0] {
	case 0xc0:
		return 2, 1, int64(int16(binary.LittleEndian.Uint16(d))), true
	case 0xd0:
		return 4, 1, int64(int32(binary.LittleEndian.Uint32(d))), true
	case 0xe0:
		return 8, 1, int64(binary.LittleEndian.Uint64(d)), true
	case 0xf0:
		return 3, 1, int64(int32(uint32(d[0])<<8|uint32(d[1])<<16|uint32(d[2])<<24) >> 8), true
	case 0xfe:
		return 1, 1, int64(int8(d[0])), true
	}
	if b[0] >= 0xf1 && b[0] <= 0xfd {
		return 0, 1, int64(b[0]) - 0xf1, true
	}
	return 0, 0, 0, false
}

// eachZipmap calls fn for the fields of a zipmap: their number (254 when there are more), then for
// each a length and the name, a length, a count of unused bytes, the value and the unused bytes;
// 0xff. A length is one byte, or 0xfe and four.
func eachZipmap(b []byte, fn func(field, value []byte)) error {
	if len(b) < 2 || b[len(b)-1] != listEnd {
		return errors.New("zipmap does not end with 0xff")
	}
	p, count := 1, 0
	for b[p] != listEnd {
		field, next, err := zipmapString(b, p, 0)
		if err != nil {
			return err
		}
		value, next, err := zipmapString(b, next, 1)
		if err != nil {
			return err
		}
		fn(field, value)
		p = next
		count++
	}
	if p != len(b)-1 {
		return fmt.Errorf("zipmap ends at byte %d of %d", p, len(b))
	}
	if count == 0 {
		return errEmptyZipmap
	}
	if b[0] < zipmapBig && int(b[0]) != count {
		return fmt.Errorf("zipmap says it has %d fields, but has %d", b[0], count)
	}
	return nil
}

// zipmapString returns the string at p, whose length is followed by a count of unused bytes if
// extra is 1, and where the next one is.
func zipmapString(b []byte, p, extra int) (s []byte, next int, err error) {
	var head [8]byte
	copy(head[:], b[p:])
	n, h := uint64(head[0]), 1
	if head[0] >= zipmapBig {
		n, h = uint64(binary.LittleEndian.Uint32(head[1:])), 5
	}
	unused := 0
	if extra == 1 {
		unused = int(head[h])
		h++
	}
	if n > uint64(len(b)) || p+h+int(n)+unused > len(b)-1 {
		return nil, 0, fmt.Errorf("zipmap byte %d: string of %d bytes is longer than the zipmap", p, n)
	}
	return b[p+h : p+h+int(n)], p + h + int(n) + unused, nil
}
