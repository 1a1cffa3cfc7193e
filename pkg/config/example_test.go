package config_test

import (
	"errors"
	"fmt"
	"strings"

	"byor/pkg/config"
)

// A file and the command line, of which the latter is stronger, and a value that cannot be used.
func Example() {
	c := config.Default()
	c.Stdin = strings.NewReader("maxmemory 64mb\nappendonly yes\n")
	if err := c.ParseArgs([]string{"-", "--maxmemory", "100mb"}); err != nil {
		panic(err)
	}
	fmt.Println(c.MaxMemory, c.AppendOnly, config.Find("appendfsync").Get(c))
	fmt.Println(config.Find("maxmemory-policy").Set(c, "newest"))
	// Output:
	// 104857600 true everysec
	// argument(s) must be one of the following: volatile-lru, volatile-lfu, volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, noeviction
}

// Where a configuration cannot be used, and why.
func ExampleError() {
	c := config.Default()
	c.Stdin = strings.NewReader("port 6380\nmaxmemory much\n")
	var bad *config.Error
	if err := c.ParseArgs([]string{"-"}); errors.As(err, &bad) {
		fmt.Printf("line %d, %s: %s\n", bad.Line, bad.Text, bad.Reason)
	}
	// Output:
	// line 2, maxmemory much: argument must be a memory value
}
