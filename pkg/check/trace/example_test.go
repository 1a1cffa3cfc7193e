package trace_test

import (
	"fmt"

	"byor/pkg/check/trace"
)

func ExampleAnnotate() {
	for _, part := range trace.Annotate([]byte("*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n"), true) {
		fmt.Printf("%2d %-14s %s\n", part.Offset, part.Text, part.Note)
	}
	// Output:
	// 0 "*2\r\n"       array of 2
	//  4 "$4\r\nECHO\r\n" bulk string, 4 bytes
	// 14 "$2\r\nhi\r\n" bulk string, 2 bytes
}
