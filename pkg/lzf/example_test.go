package lzf_test

import (
	"bytes"
	"fmt"

	"byor/pkg/lzf"
)

// One a as it is, and 48 more from one back: 49 bytes become five.
func Example() {
	var c lzf.Compressor
	text := bytes.Repeat([]byte("a"), 49)
	packed, ok := c.Compress(nil, text, len(text)-4)
	fmt.Printf("% x %v\n", packed, ok)
	unpacked, err := lzf.Decompress(nil, packed, len(text))
	fmt.Println(len(unpacked), err)

	_, err = lzf.Decompress(nil, packed, len(text)+1)
	fmt.Println(err)
	// Output:
	// 00 61 e0 27 00 true
	// 49 <nil>
	// LZF data does not decompress to its length
}
