package commands_test

import (
	"testing"

	_ "byor/pkg/commands"
	"byor/pkg/engine"
)

// BenchmarkExecute is a command through the whole engine, without a connection around it.
func BenchmarkExecute(b *testing.B) {
	for _, line := range [][]string{{"SET", "k", "v"}, {"GET", "k"}, {"GET", "none"}, {"INCR", "n"}, {"SETEX", "e", "100", "v"}, {"ZADD", "z", "1", "m"}} {
		args := make([][]byte, len(line))
		for i, a := range line {
			args[i] = []byte(a)
		}
		b.Run(line[0]+" "+line[1], func(b *testing.B) {
			e := engine.New(1, engine.Table(), nil, nil)
			e.Calm = true
			var c engine.Session
			e.Init(&c, nil)
			c.Authed = true
			e.Execute(&c, [][]byte{[]byte("SET"), []byte("k"), []byte("v")})
			b.ReportAllocs()
			for b.Loop() {
				c.Reply.Buf = c.Reply.Buf[:0]
				e.Execute(&c, args)
			}
		})
	}
}
