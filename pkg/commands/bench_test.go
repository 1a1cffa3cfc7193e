package commands_test

import (
	"fmt"
	"math/rand/v2"
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

// BenchmarkBatch is a batch of 64 commands on keys or elements that lie far apart, as a pipeline brings it: with the
// keys touched first and without. A nanosecond of it is one of a batch, so divide by 64.
func BenchmarkBatch(b *testing.B) {
	const keys, size = 100_000, 64
	for _, line := range [][]string{{"SET", "", "xyz"}, {"GET", ""}, {"SADD", "set", ""}, {"HSET", "hash", "", "v"}, {"ZADD", "zset", "0", ""}} {
		for _, touch := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/touch=%v", line[0], touch), func(b *testing.B) {
				e := engine.New(1, engine.Table(), nil, nil)
				e.Calm = true
				var c engine.Session
				e.Init(&c, nil)
				c.Authed = true
				all := make([][][]byte, keys)
				for i := range all {
					for _, word := range line {
						if word == "" {
							word = fmt.Sprintf("key:%012d", i)
						}
						all[i] = append(all[i], []byte(word))
					}
					fill := all[i]
					if line[0] == "GET" {
						fill = [][]byte{[]byte("SET"), fill[1], []byte("xyz")}
					}
					c.Reply.Buf = c.Reply.Buf[:0]
					e.Execute(&c, fill)
				}
				rand.Shuffle(keys, func(i, j int) { all[i], all[j] = all[j], all[i] })
				b.ReportAllocs()
				for at := 0; b.Loop(); at = (at + size) % (keys - size) {
					c.Reply.Buf = c.Reply.Buf[:0]
					batch := all[at : at+size]
					if touch {
						e.Ahead(&c, batch)
						e.Touch()
					}
					for _, args := range batch {
						e.Execute(&c, args)
					}
				}
			})
		}
	}
}
