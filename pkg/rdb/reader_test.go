package rdb

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"byor/pkg/store"
)

// file frames records as a snapshot of the version, with its checksum.
func file(version string, records ...string) []byte {
	b := []byte("REDIS" + version + strings.Join(records, "") + "\xff")
	if version < "0005" {
		return b
	}
	return binary.LittleEndian.AppendUint64(b, crc64(0, b))
}

// record is one call of a handler.
type event struct {
	kind    string
	a, b    string
	entry   Entry
	entryDB int
}

// events reads a snapshot and notes what the handler is called with.
func events(t *testing.T, r *Reader) []event {
	var got []event
	add := func(e event) error { got = append(got, e); return nil }
	require.NoError(t, r.Read(Handler{
		Aux:      func(n, v []byte) error { return add(event{kind: "aux", a: string(n), b: string(v)}) },
		SelectDB: func(db int) error { return add(event{kind: "db", entryDB: db}) },
		Resize: func(k, e uint64) error {
			return add(event{kind: "resize", a: string(rune('0' + k)), b: string(rune('0' + e))})
		},
		Function:  func(s []byte) error { return add(event{kind: "function", a: string(s)}) },
		ModuleAux: func(m string) error { return add(event{kind: "module", a: m}) },
		Empty:     func(db int, k []byte) error { return add(event{kind: "empty", a: string(k), entryDB: db}) },
		Entry: func(e *Entry) error {
			v := string(e.Value.(*store.String).Append(nil))
			return add(event{kind: "entry", a: string(e.Key), b: v, entry: Entry{DB: e.DB, ExpireMs: e.ExpireMs, IdleSec: e.IdleSec, Freq: e.Freq}})
		},
	}))
	return got
}

func TestReaderFrame(t *testing.T) {
	plain := Entry{ExpireMs: NoExpiry, IdleSec: -1, Freq: -1}
	b := file("0012",
		"\xfa\x09redis-ver\x057.4.0", "\xf5\x0a#!lua name", "\xfe\x00", "\xfb\x02\x01",
		"\x00\x01a\x01b",
		"\xfd\x10\x27\x00\x00\x00\x01c\xc0\x85", // seconds; int8
		"\xfc\x01\x00\x00\x00\x00\x00\x00\x00\xf8\x40\x41\x00\x01d\xc1\x00\x80", // milliseconds, idle; int16
		"\xfe\x0f", "\xf4\x01\x02\x03",
		"\xf9\x07\x00\x01e\xc2\x00\x00\x00\x80", // freq; int32
		"\x00\x80\x00\x00\x00\x01f\x81\x00\x00\x00\x00\x00\x00\x00\x02hi",
		"\x01\x05empty\x00",
		"\xf7\x81\xb5\xeb\x2d\xff\xfa\xdd\x6c\x01\x02\x01\x02\x01\x05\x0chello-before\x03ffff\x04dddddddd\x00",
	)
	withDB := func(db int, e Entry) Entry { e.DB = db; return e }
	want := []event{
		{kind: "aux", a: "redis-ver", b: "7.4.0"}, {kind: "function", a: "#!lua name"},
		{kind: "db"}, {kind: "resize", a: "2", b: "1"},
		{kind: "entry", a: "a", b: "b", entry: plain},
		{kind: "entry", a: "c", b: "-123", entry: Entry{ExpireMs: 10_000_000, IdleSec: -1, Freq: -1}},
		{kind: "entry", a: "d", b: "-32768", entry: Entry{ExpireMs: 1, IdleSec: 65, Freq: -1}},
		{kind: "db", entryDB: 15},
		{kind: "entry", a: "e", b: "-2147483648", entry: Entry{DB: 15, ExpireMs: NoExpiry, IdleSec: -1, Freq: 7}},
		{kind: "entry", a: "f", b: "hi", entry: withDB(15, plain)},
		{kind: "empty", a: "empty", entryDB: 15},
		{kind: "module", a: "test__rdb"},
	}
	require.Equal(t, want, events(t, NewReader(bytes.NewReader(b))))

	// Through a buffer that others go on reading from.
	br := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(b), strings.NewReader("*1\r\n")), 256)
	require.Equal(t, want, events(t, NewReader(br)))
	tail, err := io.ReadAll(br)
	require.NoError(t, err)
	require.Equal(t, "*1\r\n", string(tail))

	// In pieces, and with something behind.
	r := NewReader(iotest.OneByteReader(io.MultiReader(bytes.NewReader(b), strings.NewReader("*1\r\n"))))
	require.Equal(t, want, events(t, r))
	require.Equal(t, int64(len(b)), r.in.offset())
	require.Equal(t, 12, r.version)
	rest, err := io.ReadAll(r.Rest())
	require.NoError(t, err)
	require.Equal(t, "*1\r\n", string(rest))
}

func TestReaderErrors(t *testing.T) {
	disk := errors.New("disk on fire")
	sum := file("0010", "\xfe\x00")
	sum[len(sum)-3]++
	for name, c := range map[string]struct {
		src  io.Reader
		msg  string
		want error
	}{
		"empty":     {strings.NewReader(""), "rdb: at byte 0: expected the header REDIS and four digits, but the data ends here", io.ErrUnexpectedEOF},
		"not one":   {strings.NewReader("*1\r\n$4\r\nPING"), `rdb: at byte 0: expected REDIS and four digits, found "*1\r\n$4\r\nP"`, ErrNotRDB},
		"no digits": {strings.NewReader("REDIS00x1"), `rdb: at byte 5: expected four digits, found "00x1"`, ErrNotRDB},
		"too new":   {strings.NewReader("REDIS0013"), "rdb: at byte 5: Can't handle RDB format version 13", ErrVersion},
		"too old":   {strings.NewReader("REDIS0000"), "rdb: at byte 5: Can't handle RDB format version 0", ErrVersion},
		"cut":       {strings.NewReader("REDIS0010\xfe\x00\x00\x03ab"), "rdb: at byte 15: expected 3 bytes of a key, but the data ends here", io.ErrUnexpectedEOF},
		"cut long":  {strings.NewReader("REDIS0010\x00\x01k\x81\x7f\xff\xff\xff\xff\xff\xff\xffabc"), `rdb: at byte 24, key "k": expected 9223372036854775804 more bytes of a string, but the data ends here`, io.ErrUnexpectedEOF},
		"source":    {io.MultiReader(strings.NewReader("REDIS0010\xfe"), iotest.ErrReader(disk)), "rdb: at byte 10: expected a database's number: disk on fire", disk},
		"opcode":    {strings.NewReader("REDIS0010\x63"), "rdb: at byte 9: expected an opcode or a type, found 0x63", ErrCorrupt},
		"no length": {strings.NewReader("REDIS0010\xfe\x82"), "rdb: at byte 10: expected a database's number, found the byte 0x82, which begins no length", ErrCorrupt},
		"encoding":  {strings.NewReader("REDIS0010\xfe\xc0\x01"), "rdb: at byte 10: expected a database's number, found the string encoding 0xc0", ErrCorrupt},
		"string":    {strings.NewReader("REDIS0010\x00\xc4"), "rdb: at byte 10: expected a key, found the unknown string encoding 0xc4", ErrCorrupt},
		"bomb":      {strings.NewReader("REDIS0010\x00\xc3\x02\x80\xff\xff\xff\xff\x00a"), "rdb: at byte 17: 2 compressed bytes of a key cannot become 4294967295", ErrCorrupt},
		"lzf":       {strings.NewReader("REDIS0010\x00\xc3\x02\x05\x00a"), "rdb: at byte 13: a key: LZF data does not decompress to its length", ErrCorrupt},
		"checksum":  {bytes.NewReader(sum), "rdb: at byte 12: expected the checksum 37e9f9bf2684ded2, found 37e9fabf2684ded2", ErrChecksum},
		"functions": {strings.NewReader("REDIS0010\xf6"), "rdb: at byte 9: Pre-release function format not supported", ErrUnsupported},
		"module":    {strings.NewReader("REDIS0010\xf7\x81\xb5\xeb\x2d\xff\xfa\xdd\x6c\x01\x02\x01\x09"), "rdb: at byte 22: module test__rdb: expected a part of its data (0 to 5), found 9", ErrCorrupt},
		"fields":    {strings.NewReader("REDIS0012\x18\x01k\x01"), `rdb: at byte 12, key "k": hash with field expiry times`, ErrUnsupported},
		"mod value": {strings.NewReader("REDIS0012\x07\x01k\x81\xb5\xeb\x2d\xff\xfa\xdd\x6c\x01"), `rdb: at byte 21, key "k": The RDB file contains module data I can't load: no matching module type 'test__rdb'`, ErrUnsupported},
	} {
		err := NewReader(c.src).Read(Handler{})
		require.ErrorContains(t, err, c.msg, name)
		require.ErrorIs(t, err, c.want, name)
		var fe *FormatError
		require.ErrorAs(t, err, &fe, name)
	}
	require.ErrorIs(t, NewReader(bytes.NewReader(file("0010", "\xfe\x00"))).Read(Handler{SelectDB: func(int) error { return disk }}), disk)
}

func TestReaderChecksum(t *testing.T) {
	b := file("0010", "\x00\x01a\x01b")
	b[13]++ // the value's first byte: nothing but the checksum can tell
	require.ErrorIs(t, NewReader(bytes.NewReader(b)).Read(Handler{}), ErrChecksum)
	r := NewReader(bytes.NewReader(b))
	r.NoChecksum = true
	require.NoError(t, r.Read(Handler{}))
	copy(b[len(b)-8:], make([]byte, 8))
	require.NoError(t, NewReader(bytes.NewReader(b)).Read(Handler{}), "zeros say that there is no checksum")
	require.NoError(t, NewReader(bytes.NewReader(file("0004", "\x00\x01a\x01b"))).Read(Handler{}), "version 4 has none")
}

// The window moves over long and short strings.
func TestReaderLongStrings(t *testing.T) {
	var buf bytes.Buffer
	w := NewWriter(&buf)
	w.NoCompression = true
	var want []string
	for i, n := range []int{0, 1, 20, 63, 64, 16383, 16384, windowBytes - 10, windowBytes, windowBytes + 1, 3 << 20, 5, 100_000} {
		want = append(want, strings.Repeat(string(rune('a'+i)), n))
		require.NoError(t, w.Entry(want[i], store.NewString([]byte(want[i])), NoExpiry))
	}
	require.NoError(t, w.Close())
	for _, src := range []io.Reader{bytes.NewReader(buf.Bytes()), iotest.HalfReader(bytes.NewReader(buf.Bytes())), bufio.NewReaderSize(bytes.NewReader(buf.Bytes()), 256)} {
		var got []string
		require.NoError(t, NewReader(src).Read(Handler{Entry: func(e *Entry) error {
			require.Equal(t, string(e.Key), string(e.Value.(*store.String).View()))
			got = append(got, string(e.Key))
			return nil
		}}))
		require.Equal(t, want, got)
	}
}
