package resp_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"byor/pkg/resp"
)

// allocated returns the bytes that f allocates. Other goroutines' allocations are counted too, so
// it is good for bounds only.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// FuzzCommandReader: no input panics, memory follows the bytes that came and not the lengths that
// they claim, and how the bytes were split over reads makes no difference.
func FuzzCommandReader(f *testing.F) {
	for _, c := range conversations {
		if len(c.in) < 1000 {
			f.Add([]byte(c.in))
		}
	}
	f.Add(sampleStream())
	f.Fuzz(func(t *testing.T, in []byte) {
		var cmds []string
		var err error
		n := allocated(func() {
			r := resp.NewCommandReader(bytes.NewReader(in))
			for err == nil {
				_, err = r.ReadCommand()
			}
		})
		require.Less(t, n, uint64(64<<10+64*len(in)))
		cmds, err = all(resp.NewCommandReader(bytes.NewReader(in)))
		bytewise, bytewiseErr := all(resp.NewCommandReader(iotest.OneByteReader(bytes.NewReader(in))))
		if !errors.Is(err, io.EOF) && len(in) > resp.MaxInline {
			return // where a line becomes too long depends on what came with it
		}
		require.Equal(t, cmds, bytewise)
		require.Equal(t, fmt.Sprint(err), fmt.Sprint(bytewiseErr))
	})
}

// FuzzReader: no input panics, memory follows the bytes, and what was read comes out the same
// when it is written and read again.
func FuzzReader(f *testing.F) {
	f.Add([]byte("*3\r\n$5\r\nhello\r\n%1\r\n+a\r\n=7\r\ntxt:abc\r\n|1\r\n+a\r\n:1\r\n_\r\n"))
	f.Add([]byte(">2\r\n,1.5\r\n(123\r\n"))
	f.Add([]byte("~1\r\n#t\r\n!3\r\nERR\r\n-ERR x\r\n*-1\r\n$-1\r\n"))
	f.Add([]byte("*2147483647\r\n*2147483647\r\n$536870912\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var values []resp.Value
		n := allocated(func() {
			r := resp.NewReader(bytes.NewReader(in))
			for {
				v, err := r.ReadValue()
				if err != nil {
					return
				}
				values = append(values, v)
			}
		})
		require.Less(t, n, uint64(512<<10+256*len(in)))
		for _, v := range values {
			w := resp.NewWriter(nil)
			w.Proto = 3
			writeValue(w, v)
			again, err := resp.NewReader(bytes.NewReader(w.Buf)).ReadValue()
			require.NoError(t, err)
			w2 := resp.NewWriter(nil)
			w2.Proto = 3
			writeValue(w2, again)
			require.Equal(t, string(w.Buf), string(w2.Buf))
		}
	})
}

// writeValue writes v as the kind that it is.
func writeValue(w *resp.Writer, v resp.Value) {
	if len(v.Attrs) > 0 {
		w.Attribute(len(v.Attrs) / 2)
		for _, e := range v.Attrs {
			writeValue(w, e)
		}
	}
	switch v.Kind {
	case resp.SimpleString:
		w.SimpleString(string(v.Str))
	case resp.SimpleError, resp.BulkError:
		w.Error(string(v.Str))
	case resp.Integer:
		w.Int(v.Int)
	case resp.BulkString:
		if v.Null {
			w.Null()
		} else {
			w.Bulk(v.Str)
		}
	case resp.Null:
		w.Null()
	case resp.Bool:
		w.Bool(v.Bool)
	case resp.Double:
		if math.IsNaN(v.Double) {
			w.Raw([]byte(",nan\r\n"))
		} else {
			w.Double(v.Double)
		}
	case resp.BigNumber:
		w.BigNumber(string(v.Str))
	case resp.Verbatim:
		w.Verbatim(v.Format, string(v.Str))
	case resp.Array, resp.Set, resp.Push, resp.Map:
		writeElems(w, v)
	}
}

func writeElems(w *resp.Writer, v resp.Value) {
	switch {
	case v.Null:
		w.NullArray()
	case v.Kind == resp.Array:
		w.Array(len(v.Elems))
	case v.Kind == resp.Set:
		w.Set(len(v.Elems))
	case v.Kind == resp.Push:
		w.Push(len(v.Elems))
	default:
		w.Map(len(v.Elems) / 2)
	}
	for _, e := range v.Elems {
		writeValue(w, e)
	}
}
