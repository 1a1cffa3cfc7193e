package commands_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	_ "byor/pkg/commands"
	"byor/pkg/engine"
)

// BenchmarkPair is a command that adds and one that takes away, so that the collection keeps its size: first of ten
// elements, then of ten thousand. A listener wants the effects, as a log does.
func BenchmarkPair(b *testing.B) {
	pairs := [][2][]string{
		{{"LPUSH", "k", ""}, {"LPOP", "k"}}, {{"RPUSH", "k", ""}, {"RPOP", "k"}}, {{"SADD", "k", ""}, {"SPOP", "k"}},
		{{"ZADD", "k", "0", ""}, {"ZPOPMIN", "k"}}, {{"HSET", "k", "", "xyz"}, {"HDEL", "k", ""}},
		{{"MSET", "a", "xyz", "b", "xyz", "c", "xyz", "d", "xyz"}, {"MGET", "a", "b", "c", "d"}},
	}
	for _, pair := range pairs {
		for _, size := range []int{10, 10_000} {
			b.Run(fmt.Sprintf("%s %s/%d", pair[0][0], pair[1][0], size), func(b *testing.B) {
				e := engine.New(1, engine.Table(), nil, nil)
				e.Calm = true
				e.Listen(&engine.Listener{To: engine.ToAOF, Wants: func() bool { return true }, Take: func([]byte) {}})
				var c engine.Session
				e.Init(&c, nil)
				c.Authed = true
				run := func(line []string, n int) {
					args := make([][]byte, len(line))
					for i, word := range line {
						if word == "" {
							word = fmt.Sprintf("element:%012d", n)
						}
						args[i] = []byte(word)
					}
					c.Reply.Buf = c.Reply.Buf[:0]
					e.Execute(&c, args)
				}
				for n := range size {
					run(pair[0], n)
				}
				lines := [2][][]byte{}
				for i, line := range pair {
					for _, word := range line {
						if word == "" {
							word = "element:999999999999"
						}
						lines[i] = append(lines[i], []byte(word))
					}
				}
				b.ReportAllocs()
				for n := 0; b.Loop(); n++ {
					for i, line := range pair {
						for j, word := range line {
							if word == "" { // another one each time, since SPOP takes any
								binary.BigEndian.PutUint64(lines[i][j][len("element:"):], uint64(n))
							}
						}
					}
					c.Reply.Buf = c.Reply.Buf[:0]
					e.Execute(&c, lines[0])
					e.Execute(&c, lines[1])
				}
			})
		}
	}
}
