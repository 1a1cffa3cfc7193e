package rdb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"byor/pkg/store"
)

// randomBytes returns an integer, text, noise, or something that compresses well.
func randomBytes(r *rand.Rand) []byte {
	switch r.IntN(6) {
	case 0:
		return fmt.Appendf(nil, "%d", int64(r.Uint64())>>r.IntN(64))
	case 1:
		return bytes.Repeat([]byte("abc"), r.IntN(100))
	case 2:
		b := make([]byte, r.IntN(200))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	case 3:
		return []byte(strings.Repeat("x", 20+r.IntN(5)))
	}
	return fmt.Appendf(nil, "element:%d", r.IntN(1000))
}

var scores = []float64{0, 1, -1, 0.1, math.Inf(1), math.Inf(-1), math.MaxFloat64, 5e-324, 1 << 53, 17.25}

// randomValue returns a value of every type in turn, of sizes on both sides of the encodings'
// limits.
func randomValue(r *rand.Rand, i int) store.Value {
	n := []int{1, 2, 5, 127, 128, 129, 600}[r.IntN(7)]
	switch i % 7 {
	case 0:
		return store.NewString(randomBytes(r))
	case 1:
		l := store.NewList()
		for range n {
			l.PushTail(randomBytes(r))
		}
		if r.IntN(4) == 0 {
			l.PushTail(bytes.Repeat([]byte("0123456789abcdef"), 4096))
		}
		return l
	case 2:
		s := store.NewSet()
		for range n {
			s.Add(randomBytes(r))
		}
		return s
	case 3:
		s := store.NewSet()
		for range n {
			s.Add(fmt.Appendf(nil, "%d", int64(r.Uint64())>>(r.IntN(4)*16)))
		}
		return s
	case 4:
		h := store.NewHash()
		for range n {
			h.Set(randomBytes(r), randomBytes(r))
		}
		return h
	case 5:
		z := store.NewZSet()
		for range n {
			z.Add(randomBytes(r), scores[r.IntN(len(scores))])
		}
		return z
	}
	return randomStream(r, n)
}

func randomStream(r *rand.Rand, n int) store.Value {
	s := store.NewStream()
	id := store.StreamID{Ms: 1}
	for range n {
		if r.IntN(3) == 0 {
			id.Seq++
		} else {
			id = store.StreamID{Ms: id.Ms + 1 + uint64(r.IntN(1000))}
		}
		fields := [][]byte{[]byte("a"), randomBytes(r), []byte("b"), randomBytes(r)}
		if r.IntN(5) == 0 {
			fields = append(fields, randomBytes(r), randomBytes(r))
		}
		s.Add(id, fields)
	}
	var ids []store.StreamID
	s.Range(store.StreamID{}, store.MaxStreamID, func(e *store.StreamEntry) bool {
		ids = append(ids, e.ID)
		return true
	})
	for g := range r.IntN(3) {
		read := []int64{store.UnknownRead, 3}[r.IntN(2)]
		group := s.AddGroup(fmt.Appendf(nil, "group %d", g), ids[len(ids)/2], read)
		for c := range r.IntN(4) {
			consumer := group.AddConsumer(fmt.Appendf(nil, "%d", c), 1_700_000_000_000+int64(c))
			for range r.IntN(20) {
				p := group.Deliver(ids[r.IntN(len(ids))], consumer)
				p.DeliveredMs, p.Count = 1_600_000_000_000, uint64(1+r.IntN(500))
			}
		}
	}
	for range r.IntN(1 + len(ids)/3) {
		s.Delete(ids[r.IntN(len(ids))])
	}
	return s
}

func randomStore(seed uint64, keys int) *store.Store {
	r := rand.New(rand.NewPCG(seed, 5))
	s := store.New(16)
	s.Expiry = store.KeepExpired
	for i := range keys {
		db := s.DB(r.IntN(16))
		e := db.Set(fmt.Appendf(nil, "%x:%d", r.Uint32(), i), randomValue(r, i))
		if r.IntN(3) == 0 {
			db.SetExpire(e, 4_000_000_000_000+int64(i))
		}
	}
	return s
}

// What is written here, with and without compression, is loaded by a real Redis, which agrees on
// the contents, and whose own file of them is loaded here.
func TestRandomThereAndBack(t *testing.T) {
	for seed := range uint64(2) {
		s := randomStore(seed, 150)
		var ours, plain bytes.Buffer
		require.NoError(t, Save(&ours, s))
		w := NewWriter(&plain)
		w.NoCompression, w.NoChecksum = true, true
		writeAll(t, w, s)
		require.Less(t, ours.Len(), plain.Len())

		checkRDB(t, ours.Bytes())
		server := startRedis(t, ours.Bytes())
		state := server.state()
		require.Equal(t, s.Digest().String(), state["digest"])
		require.Equal(t, state, startRedis(t, plain.Bytes()).state())

		require.Equal(t, "OK", server.do("SAVE"))
		theirs, err := readFile(server.dir)
		require.NoError(t, err)
		back := load(t, theirs)
		require.Equal(t, s.Digest(), back.Digest())
		var again bytes.Buffer
		require.NoError(t, Save(&again, back))
		require.Equal(t, state, startRedis(t, again.Bytes()).state())
	}
}

func TestDumpRestore(t *testing.T) {
	server := startRedis(t, nil)
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 140 {
		v := randomValue(r, i)
		require.Equal(t, "OK", server.do("RESTORE", "k", "0", string(Dump(v)), "REPLACE"))
		require.Equal(t, "[1 "+digestOf(v)+" ]", server.do("DEBUG", "DIGEST-VALUE", "k"))
		theirs := []byte(server.do("DUMP", "k"))
		back, err := Restore(theirs)
		require.NoError(t, err)
		require.Equal(t, digestOf(v), digestOf(back))
		require.Equal(t, v.Encoding(), back.Encoding())
		if v.Type() == store.TypeString && v.(*store.String).Len() <= 20 {
			require.Equal(t, theirs, Dump(v), "what is too short to be compressed has only one form")
		}
	}
}

func TestRestoreRefuses(t *testing.T) {
	p := Dump(store.NewString([]byte("hello")))
	for i := range p {
		_, err := Restore(p[:i])
		require.ErrorIs(t, err, ErrBadPayload)
		p[i]++
		_, err = Restore(p)
		require.ErrorIs(t, err, ErrBadPayload)
		p[i]--
	}
	sign := func(version byte, b string) []byte {
		w := append([]byte(b), version, 0)
		for i, crc := 0, crc64(0, w); i < 8; i++ {
			w = append(w, byte(crc>>(8*i)))
		}
		return w
	}
	v, err := Restore(sign(10, "\x00\x02hi"))
	require.NoError(t, err)
	require.Equal(t, "hi", string(v.(*store.String).View()))
	_, err = Restore(sign(11, "\x00\x02hi"))
	require.ErrorIs(t, err, ErrBadPayload)
	for _, bad := range []string{"\x00\x03hi", "\x00\x81\xff\xff\xff\xff\xff\xff\xff\xffhi", "\x01\x00", "\xfe\x00", "\x01\x02\x01a", "\x63"} {
		_, err = Restore(sign(10, bad))
		require.ErrorIs(t, err, ErrBadFormat, "%q", bad)
	}
}

// Access times and counters come from, and go to, a Redis with a policy that keeps them.
func TestHints(t *testing.T) {
	idle, freq := 0, 0
	count := Handler{Entry: func(e *Entry) error {
		if e.IdleSec >= 0 {
			idle++
		}
		if e.Freq >= 0 {
			freq++
		}
		return nil
	}}
	require.NoError(t, NewReader(bytes.NewReader(fixture(t, "all_types_lru_v10.rdb"))).Read(count))
	require.Equal(t, []int{36, 0}, []int{idle, freq})
	require.NoError(t, NewReader(bytes.NewReader(fixture(t, "all_types_lfu_v10.rdb"))).Read(count))
	require.Equal(t, []int{36, 36}, []int{idle, freq})

	var lru, lfu bytes.Buffer
	w := NewWriter(&lru)
	require.NoError(t, w.SelectDB(0, 1, 0))
	require.NoError(t, w.Entry("k", store.NewInt(1), NoExpiry, Idle(100_000)))
	require.NoError(t, w.Close())
	w = NewWriter(&lfu)
	require.NoError(t, w.SelectDB(0, 1, 0))
	require.NoError(t, w.Entry("k", store.NewInt(1), NoExpiry, Freq(77)))
	require.NoError(t, w.Close())
	require.Contains(t, []string{"100000", "100001", "100002"}, startRedis(t, lru.Bytes(), "--maxmemory-policy", "allkeys-lru").do("OBJECT", "IDLETIME", "k"))
	require.Equal(t, "77", startRedis(t, lfu.Bytes(), "--maxmemory-policy", "allkeys-lfu").do("OBJECT", "FREQ", "k"))
}

func TestLoadRules(t *testing.T) {
	past := "\xfc\x01\x00\x00\x00\x00\x00\x00\x00" + pair(typeString, "old", str("v"))
	b := file("0010", "\xfe\x00", past, pair(typeString, "new", str("v")))
	s := store.New(1)
	s.SetNow(1_000_000)
	n, err := Load(bytes.NewReader(b), s)
	require.NoError(t, err)
	require.Equal(t, Loaded{Keys: 1, Expired: 1}, n)
	for _, mode := range []store.ExpiryMode{store.HideExpired, store.KeepExpired} {
		s = store.New(1)
		s.SetNow(1_000_000)
		s.Expiry = mode
		n, err = Load(bytes.NewReader(b), s)
		require.NoError(t, err)
		require.Equal(t, Loaded{Keys: 2}, n)
	}
	_, err = Load(bytes.NewReader(file("0010", pair(typeString, "k", str("v")), pair(typeString, "k", str("v")))), store.New(1))
	require.EqualError(t, err, "rdb: RDB has duplicated key 'k' in DB 0")
	_, err = Load(bytes.NewReader(file("0010", "\xfe\x01")), store.New(1))
	require.EqualError(t, err, "rdb: Data file was created with a Redis server configured to handle more than 1 databases")
	s = store.New(1)
	s.SetNow(1_000_000)
	_, err = Load(bytes.NewReader(file("0010", "\xf8\x0a"+pair(typeString, "k", str("v")))), s)
	require.NoError(t, err)
	require.Equal(t, uint32(990), s.DB(0).Peek([]byte("k")).AccessSec())
}

// A batch that was encoded earlier ends up between what the writer has been given before and after.
func TestBatch(t *testing.T) {
	var file bytes.Buffer
	w := NewWriter(&file)
	require.NoError(t, w.SelectDB(3, 2, 0))
	require.NoError(t, w.Entry("a", store.NewInt(1), NoExpiry))
	var b Batch
	for round := range 3 {
		b.Reset()
		b.SelectDB(5)
		b.SelectDB(5)
		b.Entry(fmt.Sprint("b", round), store.NewString(bytes.Repeat([]byte("long"), 50_000)), 7)
		require.NoError(t, w.Write(&b))
		require.NoError(t, w.Entry(fmt.Sprint("c", round), store.NewInt(2), NoExpiry))
	}
	require.NoError(t, w.Close())
	require.Less(t, file.Len(), 20_000)
	var got []string
	require.NoError(t, NewReader(&file).Read(Handler{Entry: func(e *Entry) error {
		got = append(got, fmt.Sprint(e.DB, string(e.Key)))
		return nil
	}}))
	require.Equal(t, []string{"3a", "5b0", "3c0", "5b1", "3c1", "5b2", "3c2"}, got)
}

// failAfter accepts n bytes.
type failAfter struct{ n int }

var errFull = errors.New("no space left")

func (w *failAfter) Write(p []byte) (int, error) {
	if len(p) > w.n {
		return w.n, errFull
	}
	w.n -= len(p)
	return len(p), nil
}

type shortWriter struct{}

func (shortWriter) Write(p []byte) (int, error) { return len(p) / 2, nil }

// A writer reports the first error, and goes on reporting it.
func TestWriterErrors(t *testing.T) {
	s := randomStore(1, 50)
	for _, n := range []int{0, 10, 70_000} {
		require.ErrorIs(t, Save(&failAfter{n}, s), errFull, "after %d bytes", n)
	}
	w := NewWriter(shortWriter{})
	require.NoError(t, w.Entry("k", store.NewInt(1), NoExpiry))
	require.ErrorIs(t, w.Close(), io.ErrShortWrite)
	require.ErrorIs(t, w.Close(), io.ErrShortWrite)
	require.ErrorIs(t, w.Write(&Batch{}), io.ErrShortWrite)
}
