package redistest_test

import (
	"fmt"
	"testing"

	"byor/pkg/redistest"
	"byor/pkg/resp"
)

// What Redis does is asked of Redis. This is the whole of such a test.
func Example() {
	_ = func(t *testing.T) { // TestRedisCounts
		redis := redistest.Dial(t, redistest.Start(t, t.TempDir())) // skips where there is no redis-server
		if got := redis.Do("INCR n"); got != "1" {
			t.Errorf("INCR of nothing is %s", got)
		}
	}
}

// Replies are compared as text.
func ExampleText() {
	for _, v := range []resp.Value{
		{Kind: resp.Integer, Int: 3},
		{Kind: resp.BulkString, Null: true},
		{Kind: resp.SimpleError, Str: []byte("ERR no such key")},
		{Kind: resp.Array, Elems: []resp.Value{{Kind: resp.BulkString, Str: []byte("a")}, {Kind: resp.Integer, Int: 1}}},
	} {
		fmt.Println(redistest.Text(v))
	}
	// Output:
	// 3
	// (nil)
	// -ERR no such key
	// a 1
}
