package resp_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"byor/pkg/resp"
)

func read(t *testing.T, in string) resp.Value {
	t.Helper()
	r := resp.NewReader(strings.NewReader(in))
	v, err := r.ReadValue()
	require.NoError(t, err, "%q", in)
	_, err = r.ReadValue()
	require.Equal(t, io.EOF, err, "%q", in)
	return v
}

func bulk(s string) resp.Value { return resp.Value{Kind: resp.BulkString, Str: []byte(s)} }

func integer(n int64) resp.Value { return resp.Value{Kind: resp.Integer, Int: n} }

// What the writer writes the reader reads as the same kind, in RESP2 as what stands in for it.
func TestWriterAndReaderAgree(t *testing.T) {
	pair := []resp.Value{bulk("k"), integer(1)}
	writePair := func(w *resp.Writer) { w.BulkString("k"); w.Int(1) }
	for _, c := range []struct {
		name   string
		write  func(w *resp.Writer)
		v2, v3 resp.Value
	}{
		{"simple", func(w *resp.Writer) { w.SimpleString("OK") }, resp.Value{Kind: '+', Str: []byte("OK")}, resp.Value{Kind: '+', Str: []byte("OK")}},
		{"ok", (*resp.Writer).OK, resp.Value{Kind: '+', Str: []byte("OK")}, resp.Value{Kind: '+', Str: []byte("OK")}},
		{"error", func(w *resp.Writer) { w.Error("ERR a\r\nb") }, resp.Value{Kind: '-', Str: []byte("ERR a  b")}, resp.Value{Kind: '-', Str: []byte("ERR a  b")}},
		{"int", func(w *resp.Writer) { w.Int(math.MinInt64) }, integer(math.MinInt64), integer(math.MinInt64)},
		{"bulk", func(w *resp.Writer) { w.Bulk([]byte("a\r\n\x00")) }, bulk("a\r\n\x00"), bulk("a\r\n\x00")},
		{"empty bulk", func(w *resp.Writer) { w.Bulk(nil) }, bulk(""), bulk("")},
		{"bulk int", func(w *resp.Writer) { w.BulkInt(-12) }, bulk("-12"), bulk("-12")},
		{"null", (*resp.Writer).Null, resp.Value{Kind: '$', Null: true}, resp.Value{Kind: '_', Null: true}},
		{"null array", (*resp.Writer).NullArray, resp.Value{Kind: '*', Null: true}, resp.Value{Kind: '_', Null: true}},
		{"array", func(w *resp.Writer) { w.Array(2); writePair(w) }, resp.Value{Kind: '*', Elems: pair}, resp.Value{Kind: '*', Elems: pair}},
		{"empty array", func(w *resp.Writer) { w.Array(0) }, resp.Value{Kind: '*', Elems: []resp.Value{}}, resp.Value{Kind: '*', Elems: []resp.Value{}}},
		{"map", func(w *resp.Writer) { w.Map(1); writePair(w) }, resp.Value{Kind: '*', Elems: pair}, resp.Value{Kind: '%', Elems: pair}},
		{"set", func(w *resp.Writer) { w.Set(2); writePair(w) }, resp.Value{Kind: '*', Elems: pair}, resp.Value{Kind: '~', Elems: pair}},
		{"push", func(w *resp.Writer) { w.Push(2); writePair(w) }, resp.Value{Kind: '*', Elems: pair}, resp.Value{Kind: '>', Elems: pair}},
		{"true", func(w *resp.Writer) { w.Bool(true) }, integer(1), resp.Value{Kind: '#', Bool: true}},
		{"false", func(w *resp.Writer) { w.Bool(false) }, integer(0), resp.Value{Kind: '#'}},
		{"double", func(w *resp.Writer) { w.Double(0.1) }, bulk("0.10000000000000001"), resp.Value{Kind: ',', Double: 0.1}},
		{"infinity", func(w *resp.Writer) { w.Double(math.Inf(-1)) }, bulk("-inf"), resp.Value{Kind: ',', Double: math.Inf(-1)}},
		{"big number", func(w *resp.Writer) { w.BigNumber("-12345678901234567890") }, bulk("-12345678901234567890"), resp.Value{Kind: '(', Str: []byte("-12345678901234567890")}},
		{"verbatim", func(w *resp.Writer) { w.Verbatim("txt", "hi") }, bulk("hi"), resp.Value{Kind: '=', Format: "txt", Str: []byte("hi")}},
	} {
		for proto, want := range map[int]resp.Value{2: c.v2, 3: c.v3} {
			w := resp.NewWriter(nil)
			w.Proto = proto
			c.write(w)
			require.Equal(t, want, read(t, string(w.Buf)), "%s in RESP%d", c.name, proto)
		}
	}
}

func TestAttributeBelongsToTheValueBehindIt(t *testing.T) {
	w := resp.NewWriter(nil)
	w.Proto = 3
	w.Attribute(1)
	w.SimpleString("ttl")
	w.Int(3600)
	w.BulkString("v")
	v := read(t, string(w.Buf))
	require.Equal(t, "v", string(v.Str))
	require.Equal(t, []resp.Value{{Kind: '+', Str: []byte("ttl")}, integer(3600)}, v.Attrs)
}

func TestErrorReplies(t *testing.T) {
	for _, in := range []string{"-ERR no\r\n", "!6\r\nERR no\r\n"} {
		v := read(t, in)
		require.True(t, v.IsError())
		require.Equal(t, resp.ReplyError("ERR no"), v.Err())
	}
	require.NoError(t, read(t, "+OK\r\n").Err())
}

func TestMalformedReplies(t *testing.T) {
	for _, in := range []string{
		"\r\n", "?\r\n", "+OK\n", ":\r\n", ":1x\r\n", "$-2\r\n", "$1x\r\n", "$1\r\nab\r\n", "$536870913\r\n", "!-1\r\n", "=3\r\nabc\r\n", "=4\r\nabcd\r\n",
		"*-2\r\n", "%-1\r\n", "~x\r\n", "%9223372036854775807\r\n", "%1073741825\r\n", "_x\r\n", "#x\r\n", ",\r\n", ",x\r\n", "(\r\n", "(1.5\r\n", "(-\r\n",
		strings.Repeat("*1\r\n", 200) + ":1\r\n", "+" + strings.Repeat("a", 100<<10) + "\r\n",
		"+" + strings.Repeat("a", 100<<10),
	} {
		_, err := resp.NewReader(strings.NewReader(in)).ReadValue()
		var bad *resp.ProtocolError
		require.ErrorAs(t, err, &bad, "%.40q", in)
	}
}

func TestTruncatedReplies(t *testing.T) {
	s := "*3\r\n$5\r\nhello\r\n%1\r\n+a\r\n=7\r\ntxt:abc\r\n|1\r\n+a\r\n:1\r\n_\r\n"
	read(t, s)
	for i := 1; i < len(s); i++ {
		_, err := resp.NewReader(strings.NewReader(s[:i])).ReadValue()
		require.Equal(t, io.ErrUnexpectedEOF, err, "cut at %d", i)
	}
}

func TestLongValues(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	w := resp.NewWriter(nil)
	w.BulkString(long)
	require.Equal(t, long, string(read(t, string(w.Buf)).Str))
	line := strings.Repeat("y", 60<<10)
	require.Equal(t, line, string(read(t, "+"+line+"\r\n").Str))
}

func TestFlush(t *testing.T) {
	var out bytes.Buffer
	w := resp.NewWriter(&out)
	require.NoError(t, w.Flush())
	w.OK()
	require.Equal(t, 5, w.Len())
	require.NoError(t, w.Flush())
	require.Zero(t, w.Len())
	w.Bulk(make([]byte, 1<<20))
	require.NoError(t, w.Flush())
	require.Less(t, cap(w.Buf), 1<<20, "a large buffer is given back")
	w.Raw([]byte(":1\r\n"))
	require.NoError(t, w.Flush())
	require.True(t, strings.HasPrefix(out.String(), "+OK\r\n$1048576\r\n"))
	require.True(t, strings.HasSuffix(out.String(), "\r\n:1\r\n"))

	broken := errors.New("broken")
	w = resp.NewWriter(failing{broken})
	w.OK()
	require.Equal(t, broken, w.Flush())
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestAppendDouble(t *testing.T) {
	for want, f := range map[string]float64{
		"0": 0, "-0": math.Copysign(0, -1), "3": 3, "-3": -3, "0.5": 0.5, "nan": math.NaN(), "inf": math.Inf(1),
		"10000000000000000": 1e16, "1e+17": 1e17, "1.0000000000000001e-05": 1e-5, "0.0001": 0.0001, "123456.5": 123456.5,
		"3.1415926535897931": math.Pi, "1.7976931348623157e+308": math.MaxFloat64, "4.9406564584124654e-324": math.SmallestNonzeroFloat64,
	} {
		require.Equal(t, want, string(resp.AppendDouble(nil, f)))
	}
}

func TestWritingAllocatesNothing(t *testing.T) {
	w := resp.NewWriter(io.Discard)
	value := []byte("some value")
	write := func() {
		w.OK()
		w.Array(3)
		w.Bulk(value)
		w.BulkInt(123456)
		w.Double(1.5)
		w.Null()
		_ = w.Flush()
	}
	write()
	require.Zero(t, testing.AllocsPerRun(1000, write))
}
