package port_test

import (
	"fmt"
	"net"

	"byor/pkg/redistest/port"
)

// A port is reserved for as long as the server is there.
func ExampleReserve() {
	n, release, err := port.Reserve()
	if err != nil {
		panic(err)
	}
	defer release()
	ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", n)) // in a process of its own
	if err != nil {
		panic(err)
	}
	fmt.Println(ln.Addr().(*net.TCPAddr).Port == n)
	ln.Close()
	// Output: true
}
