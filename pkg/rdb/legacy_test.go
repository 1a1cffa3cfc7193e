package rdb

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"byor/pkg/store"
)

// str encodes a string in the plain form.
func str(s string) string { return string(appendLength(nil, uint64(len(s)))) + s }

func pair(t valueType, key, value string) string { return string(byte(t)) + str(key) + value }

// lp builds a listpack.
func lp(elems ...string) string {
	l := store.NewListpack()
	for _, e := range elems {
		l.Append([]byte(e))
	}
	return string(l.Bytes())
}

func le64(f float64) string {
	return string(binary.LittleEndian.AppendUint64(nil, math.Float64bits(f)))
}

// legacyFile has every encoding that 7.0 reads and does not write any more.
func legacyFile() []byte {
	long := strings.Repeat("v", 300)
	streamNode := lp("2", "1", "1", "f", "0", "2", "0", "0", "a", "4", "3", "1", "0", "b", "4", "0", "2", "7", "1", "g", "c", "6")
	id := string(make([]byte, 7)) + "\x05" + string(make([]byte, 7)) + "\x01"
	return file("0009", "\xfe\x00",
		pair(typeList, "list", "\x04"+str("a")+str("b")+"\xc0\x05"+str(long)),
		pair(typeSet, "set", "\x03"+str("a")+str("b")+"\xc1\x00\x10"),
		pair(typeSet, "set of integers", "\x02\xc0\x05\xc0\x06"),
		pair(typeZSet, "zset", "\x05"+str("half")+"\x03"+"0.5"+str("inf")+"\xfe"+str("-inf")+"\xff"+str("x")+"\x04-1e3"+"\xc0\x07"+"\x0217"),
		pair(typeZSet2, "zset2", "\x02"+str("b")+le64(0.1)+str("a")+le64(-2)),
		pair(typeHash, "hash", "\x02"+str("f")+str("v")+str("g")+str(long)),
		pair(typeHashZipmap, "hash zipmap", str(string(zipmap("a", "1", "b", long, "", "")))),
		pair(typeListZiplist, "list ziplist", str(string(ziplist("x", long, raw("\xf3"), raw("\xfe\x85"), "end")))),
		pair(typeSetIntset, "set intset", str("\x02\x00\x00\x00\x02\x00\x00\x00\xff\xff\x05\x00")),
		pair(typeZSetZiplist, "zset ziplist", str(string(ziplist("a", raw("\xf1"), "b", "0.25", "c", "inf")))),
		pair(typeHashZiplist, "hash ziplist", str(string(ziplist("f", "v", "n", raw("\xc0\x10\x27"))))),
		pair(typeQuicklist, "quicklist", "\x02"+str(string(ziplist("1st", "2nd")))+str(string(ziplist(long)))),
		pair(typeStream, "stream", "\x01"+str(id)+str(streamNode)+"\x02\x07\x08"+
			"\x01"+str("group")+"\x05\x01"+"\x01"+id+"\x10\x27\x00\x00\x00\x00\x00\x00\x03"+
			"\x01"+str("bob")+"\x11\x27\x00\x00\x00\x00\x00\x00\x01"+id),
		"\xfd\xff\xff\xff\x7f"+pair(typeString, "expires", str("in 2038")),
		pair(typeString, "lzf", "\xc3\x09\x31\x01aa\xe0\x24\x00\x01aa"),
	)
}

func TestLegacyEncodings(t *testing.T) {
	theirs := legacyFile()
	s := load(t, theirs)
	get := func(key string) store.Value { return s.DB(0).Peek([]byte(key)).Value() }
	require.Equal(t, 15, s.DB(0).Len())
	score, ok := get("zset").(*store.ZSet).Score([]byte("x"))
	require.True(t, ok)
	require.Equal(t, -1000.0, score)
	require.Equal(t, int64(math.MaxInt32)*1000, s.DB(0).ExpireAt(s.DB(0).Peek([]byte("expires"))))
	require.Equal(t, "listpack", get("hash ziplist").Encoding())
	require.Equal(t, "hashtable", get("hash zipmap").Encoding(), "a long value")
	require.Equal(t, "intset", get("set of integers").Encoding())

	want := startRedis(t, theirs).state()
	require.Equal(t, want["digest"], s.Digest().String())
	var ours bytes.Buffer
	require.NoError(t, Save(&ours, s))
	checkRDB(t, ours.Bytes())
	require.Equal(t, want, startRedis(t, ours.Bytes()).state())
}

// What Redis 7.2 writes a 7.0 cannot read: the values are compared with what went in.
func TestNewerTypes(t *testing.T) {
	v1, v2, v3 := legacyStream()
	b := file("0011",
		pair(typeSetListpack, "set", str(lp("a", "17", "b"))),
		pair(typeStream3, "stream", v3),
		pair(typeStream2, "stream2", v2),
		pair(typeStream, "stream1", v1))
	s := load(t, b)
	set := s.DB(0).Peek([]byte("set")).Value().(*store.Set)
	require.Equal(t, 3, set.Len())
	require.True(t, set.Contains([]byte("17")))
	digest := func(key string) store.Digest { return s.DB(0).ValueDigest(s.DB(0).Peek([]byte(key))) }
	require.Equal(t, digest("stream2"), digest("stream"))
	require.Equal(t, digest("stream2"), digest("stream1"))
	st := s.DB(0).Peek([]byte("stream")).Value().(*store.Stream)
	require.Equal(t, store.StreamMeta{Length: 2, Last: store.StreamID{Ms: 5, Seq: 3}, First: store.StreamID{Ms: 5, Seq: 1},
		MaxDeleted: store.StreamID{Ms: 5, Seq: 2}, Added: 9}, st.Meta())
	g := st.Group([]byte("group"))
	require.Equal(t, int64(store.UnknownRead), g.EntriesRead)
	require.Equal(t, "bob", g.Pending().First().Owner().Name())
	require.Equal(t, int64(10001), g.Consumers()[0].SeenMs)
	old := s.DB(0).Peek([]byte("stream1")).Value().(*store.Stream)
	require.Equal(t, store.StreamMeta{Length: 2, Last: store.StreamID{Ms: 5, Seq: 3}, First: store.StreamID{Ms: 5, Seq: 1}, Added: 2}, old.Meta())
}

// legacyStream returns one stream as versions 1 to 3 of its encoding.
func legacyStream() (v1, v2, v3 string) {
	node := lp("2", "1", "1", "f", "0", "2", "0", "0", "a", "4", "3", "0", "1", "b", "4", "0", "0", "2", "1", "g", "c", "6")
	id := "\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x01"
	nodes := "\x01" + str(id) + str(node)
	meta1 := "\x02\x05\x03"
	meta2 := meta1 + "\x05\x01" + "\x05\x02" + "\x09"
	unknown := "\x81\xff\xff\xff\xff\xff\xff\xff\xff"
	pel := "\x01" + id + "\x10\x27\x00\x00\x00\x00\x00\x00\x03"
	seen := "\x11\x27\x00\x00\x00\x00\x00\x00"
	group := func(read, active string) string {
		return "\x01" + str("group") + "\x05\x01" + read + pel + "\x01" + str("bob") + seen + active + "\x01" + id
	}
	return nodes + meta1 + group("", ""), nodes + meta2 + group(unknown, ""), nodes + meta2 + group(unknown, seen)
}

// refusedValue is a value's type, its bytes, and what is said of them.
type refusedValue struct {
	t     valueType
	value string
	msg   string
}

func refuseAll(t *testing.T, cases map[string]refusedValue) {
	t.Helper()
	for name, c := range cases {
		err := NewReader(bytes.NewReader(file("0012", pair(c.t, "k", c.value)))).Read(Handler{})
		require.ErrorContains(t, err, c.msg, name)
		require.ErrorContains(t, err, `key "k"`, name)
		var fe *FormatError
		require.ErrorAs(t, err, &fe, name)
	}
}

// What is refused, and in which words.
func TestValuesRefused(t *testing.T) {
	refuseAll(t, map[string]refusedValue{
		"list node":         {typeQuicklist2, "\x01\x03" + str(lp("a")), "expected a list node's container, plain (1) or packed (2), found 3"},
		"plain empty":       {typeQuicklist2, "\x01\x01\x00", "expected a list element in a node of its own, found nothing"},
		"listpack":          {typeQuicklist2, "\x01\x02" + str("\x08\x00\x00\x00\x01\x00\x01\xff"), "a list node: the listpack is malformed"},
		"listpack count":    {typeQuicklist2, "\x01\x02" + str("\x09\x00\x00\x00\x02\x00\x01\x01\xff"), "a list node: the listpack is malformed"},
		"ziplist":           {typeListZiplist, str("\x0b"), "ziplist of 1 bytes, expected at least 11"},
		"set twice":         {typeSet, "\x02" + str("a") + str("a"), `set member "a" comes twice`},
		"set ints twice":    {typeSet, "\x02\xc0\x05" + str("5"), `set member "5" comes twice`},
		"set listpack":      {typeSetListpack, str(lp("a", "b", "a")), `set member "a" comes twice`},
		"intset order":      {typeSetIntset, str("\x02\x00\x00\x00\x02\x00\x00\x00\x05\x00\x05\x00"), "the intset is malformed"},
		"intset size":       {typeSetIntset, str("\x02\x00\x00\x00\x03\x00\x00\x00\x05\x00\x06\x00"), "the intset is malformed"},
		"intset width":      {typeSetIntset, str("\x03\x00\x00\x00\x01\x00\x00\x00\x05\x00\x00"), "the intset is malformed"},
		"intset empty":      {typeSetIntset, str("\x02\x00\x00\x00\x00\x00\x00\x00"), "the intset is empty"},
		"zset twice":        {typeZSet2, "\x02" + str("a") + le64(1) + str("a") + le64(2), `sorted set member "a" comes twice`},
		"zset nan":          {typeZSet2, "\x01" + str("a") + le64(math.NaN()), `the score of member "a" is not a number`},
		"zset old nan":      {typeZSet, "\x01" + str("a") + "\xfd", `the score of member "a" is not a number`},
		"zset decimal":      {typeZSet, "\x01" + str("a") + "\x03abc", `expected a score, found "abc"`},
		"zset listpack":     {typeZSetListpack, str(lp("a", "1", "b")), "expected different members with a score each"},
		"zset listpack dup": {typeZSetListpack, str(lp("a", "1", "a", "2")), "expected different members with a score each"},
		"zset listpack nan": {typeZSetListpack, str(lp("a", "x")), "expected different members with a score each"},
		"hash twice":        {typeHash, "\x02" + str("a") + str("1") + str("a") + str("2"), `hash field "a" comes twice`},
		"hash listpack":     {typeHashListpack, str(lp("a", "1", "a", "2")), "expected different fields with a value each"},
		"hash ziplist":      {typeHashZiplist, str(string(ziplist("a", "1", "b"))), "expected different fields with a value each"},
		"zipmap twice":      {typeHashZipmap, str(string(zipmap("a", "1", "a", "2"))), `hash field "a" comes twice`},
		"zipmap empty":      {typeHashZipmap, str("\x00\xff"), "zipmap is empty"},
		"hash field ttl":    {typeHashTTL, "\x01", "hash with field expiry times"},
		"hash field ttl lp": {typeHashTTLPack, "\x01", "hash with field expiry times (listpack)"},
	})
}

func TestStreamsRefused(t *testing.T) {
	v1, v2, _ := legacyStream()
	swap := func(s, from, to string) string {
		require.Equal(t, 1, strings.Count(s, from), "%q in %q", from, s)
		return strings.Replace(s, from, to, 1)
	}
	bob := str("bob")
	refuseAll(t, map[string]refusedValue{
		"stream key":        {typeStream2, "\x01" + str("short") + str(lp("1")), "expected the ID of a stream node, 16 bytes, found 5"},
		"stream node":       {typeStream2, swap(v2, "\x02\x01\x01\x01\x01\x01\x81f", "\x03\x01\x01\x01\x01\x01\x81f"), "stream node 5-1 is malformed"},
		"stream length":     {typeStream, "\x00\x05\x00\x00\x00", "the stream has no entries, but says it has 5"},
		"stream last":       {typeStream, swap(v1, "\x02\x05\x03\x01", "\x02\x05\x01\x01"), "the stream's last ID is 5-1, but it has an entry 5-3"},
		"group twice":       {typeStream, "\x00\x00\x00\x00\x02" + strings.Repeat(str("g")+"\x00\x00\x00\x00", 2), `group "g" comes twice`},
		"consumer twice":    {typeStream, "\x00\x00\x00\x00\x01" + str("g") + "\x00\x00\x00\x02" + strings.Repeat(bob+strings.Repeat("\x00", 9), 2), `consumer "bob" comes twice`},
		"pending, no owner": {typeStream, v1[:strings.Index(v1, "\x01"+bob)] + "\x00", "1 pending entries have no consumer"},
		"pending, not":      {typeStream, v1[:len(v1)-1] + "\x02", `entry 5-2 of consumer "bob" is not pending, or another's`},
	})
}

// Empty collections are left out, as Redis does.
func TestEmptyCollections(t *testing.T) {
	var records []string
	for typ, value := range map[valueType]string{
		typeList: "\x00", typeSet: "\x00", typeZSet: "\x00", typeZSet2: "\x00", typeHash: "\x00", typeQuicklist: "\x00",
		typeQuicklist2: "\x01\x02" + str(lp()), typeListZiplist: str(string(ziplist())), typeZSetZiplist: str(string(ziplist())),
		typeHashZiplist: str(string(ziplist())), typeZSetListpack: str(lp()), typeHashListpack: str(lp()),
	} {
		records = append(records, pair(typ, fmt.Sprintf("type %d", typ), value))
	}
	b := file("0010", append(records, pair(typeString, "there", str("is something")))...)
	s := store.New(1)
	n, err := Load(bytes.NewReader(b), s)
	require.NoError(t, err)
	require.Equal(t, Loaded{Keys: 1, Empty: len(records)}, n)
	require.Equal(t, startRedis(t, b).do("DEBUG", "DIGEST"), s.Digest().String())
}

// Redis stores what looks like an integer as one. Where another program did not, the entries are
// made so, or a field could not be found again; and 5 and "5" are the same field.
func TestIntegersStoredAsStrings(t *testing.T) {
	const five, int5, v = "\x81\x35\x02", "\x05\x01", "\x81v\x02"
	listpack := func(count byte, entries string) string {
		return str(string([]byte{byte(7 + len(entries)), 0, 0, 0, count, 0}) + entries + "\xff")
	}
	s := load(t, file("0010", pair(typeHashListpack, "h", listpack(2, five+v))))
	h := s.DB(0).Peek([]byte("h")).Value().(*store.Hash)
	got, ok := h.Get([]byte("5"))
	require.True(t, ok)
	require.Equal(t, "v", string(got))
	err := NewReader(bytes.NewReader(file("0010", pair(typeHashListpack, "h", listpack(4, five+v+int5+v))))).Read(Handler{})
	require.ErrorContains(t, err, "expected different fields with a value each")
}
