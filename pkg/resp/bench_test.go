package resp_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"byor/pkg/resp"
)

// BenchmarkPipeline is what an event loop does with a connection: one read, and then all the commands in it.
func BenchmarkPipeline(b *testing.B) {
	for _, depth := range []int{1, 16, 64} {
		cmds := bytes.Repeat(resp.AppendCommandStrings(nil, "SET", "key:000000000001", "xxx"), depth)
		b.Run(fmt.Sprint(depth), func(b *testing.B) {
			r := resp.NewCommandReader(&endless{cmd: cmds})
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				if err := r.Fill(); err != nil {
					b.Fatal(err)
				}
				for {
					_, err := r.Next()
					if errors.Is(err, resp.ErrIncomplete) {
						break
					}
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/command")
		})
	}
}

// BenchmarkReadValue is a client that reads a reply.
func BenchmarkReadValue(b *testing.B) {
	for name, reply := range map[string]string{
		"status": "+OK\r\n", "bulk": "$3\r\nxxx\r\n",
		"array of 100": "*100\r\n" + strings.Repeat("$3\r\nxxx\r\n", 100),
	} {
		b.Run(name, func(b *testing.B) {
			r := resp.NewReader(&endless{cmd: []byte(reply)})
			b.SetBytes(int64(len(reply)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.ReadValue(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkWrite is a server that writes a reply, in either protocol.
func BenchmarkWrite(b *testing.B) {
	value := []byte("xxx")
	for _, proto := range []int{2, 3} {
		w := resp.NewWriter(nil)
		w.Proto = proto
		for _, op := range []struct {
			name string
			do   func()
		}{
			{"status", func() { w.OK() }},
			{"integer", func() { w.Int(1234567) }},
			{"bulk", func() { w.Bulk(value) }},
			{"null", func() { w.Null() }},
			{"map of 3", func() {
				w.Map(3)
				for range 6 {
					w.Bulk(value)
				}
			}},
		} {
			b.Run(fmt.Sprintf("%s/RESP%d", op.name, proto), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					w.Buf = w.Buf[:0]
					op.do()
				}
			})
		}
	}
}
