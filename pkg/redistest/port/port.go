// Package port reserves TCP ports for servers that tests and checks start in processes of their own.
package port

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// A port that the kernel hands out for a moment may be somebody else's when the server binds it: another
// test's server, or the local end of any connection. So ports are taken from below the range that
// kernels hand out, and a UDP socket on the same number, which no TCP server minds, tells other
// processes that it is taken. The kernel frees that with the process, whatever ends it.
const (
	lowest  = 12000
	highest = 32000 // Linux hands out 32768 and above, macOS and Windows 49152 and above
)

var errNone = errors.New("no TCP port is free")

// Reserve returns a port of 127.0.0.1 that nobody listens on and no other caller of Reserve on this
// machine gets before release is called. release may be called more than once, and from any goroutine.
func Reserve() (n int, release func(), err error) {
	for range 200 {
		n = lowest + rand.IntN(highest-lowest)
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(n))
		held, err := net.ListenPacket("udp", addr)
		if err != nil {
			continue
		}
		if ln, err := net.Listen("tcp", addr); err == nil {
			ln.Close()
			return n, sync.OnceFunc(func() { held.Close() }), nil
		}
		held.Close()
	}
	return 0, nil, errNone
}
