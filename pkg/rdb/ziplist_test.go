package rdb

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// ziplist builds the ziplist that Redis 6 would have of the elements: each is a string, or an
// already encoded element ("\xfe\x07" for the 8-bit integer 7) when it is a raw.
type raw string

func ziplist(elems ...any) []byte {
	b := make([]byte, ziplistHeader)
	prev, last := 0, ziplistHeader
	for _, e := range elems {
		at := len(b)
		if prev < 254 {
			b = append(b, byte(prev))
		} else {
			b = binary.LittleEndian.AppendUint32(append(b, 0xfe), uint32(prev))
		}
		switch e := e.(type) {
		case raw:
			b = append(b, e...)
		case string:
			switch n := len(e); {
			case n < 64:
				b = append(b, byte(n))
			case n < 1<<14:
				b = append(b, 0x40|byte(n>>8), byte(n))
			default:
				b = binary.BigEndian.AppendUint32(append(b, 0x80), uint32(n))
			}
			b = append(b, e...)
		}
		prev, last = len(b)-at, at
	}
	b = append(b, listEnd)
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	binary.LittleEndian.PutUint32(b[4:], uint32(last))
	binary.LittleEndian.PutUint16(b[8:], uint16(len(elems)))
	return b
}

func zipmap(pairs ...string) []byte {
	b := []byte{byte(min(len(pairs)/2, zipmapBig))}
	for i, s := range pairs {
		if len(s) < zipmapBig {
			b = append(b, byte(len(s)))
		} else {
			b = binary.LittleEndian.AppendUint32(append(b, 0xfe), uint32(len(s)))
		}
		if i%2 == 1 {
			b = append(append(append(b, 2), s...), "??"...) // two unused bytes
		} else {
			b = append(b, s...)
		}
	}
	return append(b, listEnd)
}

func elements(t *testing.T, b []byte) (got []string) {
	require.NoError(t, eachZiplist(b, func(e []byte) { got = append(got, string(e)) }))
	return got
}

func TestZiplist(t *testing.T) {
	long, longer := strings.Repeat("l", 300), strings.Repeat("L", 20_000)
	zl := ziplist("", "a", long, "after a long one", longer, "end",
		raw("\xf1"), raw("\xfd"), raw("\xfe\x80"), raw("\xfe\x7f"), raw("\xc0\x00\x80"), raw("\xf0\x00\x00\x80"),
		raw("\xf0\xff\xff\x7f"), raw("\xd0\x00\x00\x00\x80"), raw("\xe0\x00\x00\x00\x00\x00\x00\x00\x80"))
	require.Equal(t, []string{"", "a", long, "after a long one", longer, "end", "0", "12", "-128", "127", "-32768",
		"-8388608", "8388607", "-2147483648", "-9223372036854775808"}, elements(t, zl))
	require.Empty(t, elements(t, ziplist()))

	binary.LittleEndian.PutUint16(zl[8:], 0xffff) // "more than can be said here"
	require.Len(t, elements(t, zl), 15)
}

func TestZiplistRefuses(t *testing.T) {
	zl := ziplist("one", "two", raw("\xfe\x07"))
	for name, c := range map[string]struct {
		at  int
		to  byte
		msg string
	}{
		"size":     {0, 99, "ziplist says it has 99 bytes, but has 24"},
		"tail":     {4, 11, "ziplist says its last element is at 11, but it is at 20"},
		"count":    {8, 2, "ziplist says it has 2 elements, but has 3"},
		"previous": {15, 4, "ziplist byte 15: expected the size of the element before, 5, found 4"},
		"length":   {16, 60, "ziplist byte 15: element of 62 bytes is longer than the ziplist"},
		"encoding": {21, 0xff, "ziplist byte 21: expected an encoding, found 0xff"},
		"end":      {23, 0, "ziplist byte 23: expected the size of the element before, 3, found 0"},
		"middle":   {15, 0xff, "ziplist ends at byte 15 of 24"},
	} {
		bad := bytes.Clone(zl)
		bad[c.at] = c.to
		require.EqualError(t, eachZiplist(bad, func([]byte) {}), c.msg, name)
	}
	require.EqualError(t, eachZiplist(nil, func([]byte) {}), "ziplist of 0 bytes, expected at least 11")
}

func TestZipmap(t *testing.T) {
	long := strings.Repeat("v", 1000)
	got := map[string]string{}
	read := func(b []byte) error {
		return eachZipmap(b, func(f, v []byte) { got[string(f)] = string(v) })
	}
	zm := zipmap("a", "1", "", "", "long", long, strings.Repeat("f", 254), "x")
	require.NoError(t, read(zm))
	require.Equal(t, map[string]string{"a": "1", "": "", "long": long, strings.Repeat("f", 254): "x"}, got)
	zm[0] = 254
	require.NoError(t, read(zm), "254 means: count them")

	zm = zipmap("one", "1", "two", "2")
	for name, c := range map[string]struct {
		at  int
		to  byte
		msg string
	}{
		"count":  {0, 3, "zipmap says it has 3 fields, but has 2"},
		"field":  {1, 50, "zipmap byte 1: string of 50 bytes is longer than the zipmap"},
		"value":  {5, 50, "zipmap byte 5: string of 50 bytes is longer than the zipmap"},
		"unused": {6, 250, "zipmap byte 5: string of 1 bytes is longer than the zipmap"},
		"end":    {len(zm) - 1, 0, "zipmap does not end with 0xff"},
		"middle": {1, 0xff, "zipmap ends at byte 1 of 20"},
	} {
		bad := bytes.Clone(zm)
		bad[c.at] = c.to
		require.EqualError(t, read(bad), c.msg, name)
	}
	require.ErrorIs(t, read([]byte{0, listEnd}), errEmptyZipmap)
}

func FuzzContainers(f *testing.F) {
	f.Add(ziplist("one", "two", raw("\xfe\x07")))
	f.Add(zipmap("one", "1", "two", "2"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		_ = eachZiplist(b, func(e []byte) { n += len(e) })
		_ = eachZipmap(b, func(k, v []byte) { n += len(k) + len(v) })
		require.LessOrEqual(t, n, 24*len(b))
	})
}
