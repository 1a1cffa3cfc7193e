package commands_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "byor/pkg/commands"
	"byor/pkg/engine"
)

// BenchmarkDefaultList is redis-benchmark's list through the whole engine, without a connection around it: what remains
// of a request when the system calls are taken off. # stands for one of 100,000 numbers. What is taken away is put back
// in the same turn, so a turn may be two commands.
func BenchmarkDefaultList(b *testing.B) {
	e := engine.New(1, engine.Table(), time.Now, nil)
	e.Calm = true
	var c engine.Session
	e.Init(&c, nil)
	c.Authed = true
	fillForList(e, &c)
	for _, turn := range []string{
		"SET key:# xxx", "GET key:#", "INCR counter:#", "LPUSH mylist xxx;LPOP mylist", "RPUSH mylist xxx;RPOP mylist", "SADD myset element:#",
		"HSET myhash element:# xxx", "SPOP myset;SADD myset element:#", "ZADD myzset # element:#", "ZPOPMIN myzset;ZADD myzset # element:#",
		"LRANGE mylist 0 99", "LRANGE mylist 0 599", "MSET" + strings.Repeat(" key:# xxx", 10),
	} {
		var name []string
		for line := range strings.SplitSeq(turn, ";") {
			name = append(name, strings.Fields(line)[0])
		}
		if strings.HasPrefix(turn, "LRANGE") {
			name = append(name, turn[strings.LastIndex(turn, " ")+1:])
		}
		b.Run(strings.Join(name, " "), func(b *testing.B) {
			turns := words(turn)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				c.Reply.Buf = c.Reply.Buf[:0]
				for _, args := range turns[i] {
					e.Execute(&c, args)
				}
				if i++; i == len(turns) {
					i = 0
				}
			}
			if c.Reply.Buf[0] == '-' {
				b.Fatalf("%s: %s", turn, c.Reply.Buf)
			}
		})
	}
}

const listNumbers = 100_000

// fillForList gives every command of the list something to find.
func fillForList(e *engine.Engine, c *engine.Session) {
	for i := range listNumbers {
		for _, line := range []string{"SET key:%[1]d x", "SADD myset element:%[1]d", "HSET myhash element:%[1]d x", "ZADD myzset %[1]d element:%[1]d", "RPUSH mylist xxx"} {
			e.Execute(c, command(fmt.Sprintf(line, i)))
		}
		c.Reply.Buf = c.Reply.Buf[:0]
	}
}

func command(line string) [][]byte {
	var args [][]byte
	for word := range strings.FieldsSeq(line) {
		args = append(args, []byte(word))
	}
	return args
}

// words is a turn in many versions, each with numbers of its own, ready to be executed.
func words(turn string) [][][][]byte {
	versions := make([][][][]byte, 4096)
	for v := range versions {
		for line := range strings.SplitSeq(turn, ";") {
			for strings.Contains(line, "#") {
				line = strings.Replace(line, "#", strconv.Itoa(rand.IntN(listNumbers)), 1)
			}
			versions[v] = append(versions[v], command(line))
		}
	}
	return versions
}
