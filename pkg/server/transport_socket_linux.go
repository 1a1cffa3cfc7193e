package server

import (
	"errors"
	"io"
	"net"
	"syscall"
	"time"
	"unsafe"
)

// A socket of the event loop, as the session's net.Conn: what reads and writes it.

// connTable finds the connections of a loop by their descriptors. Those are small numbers, since the system takes the
// lowest that is free, so a slice does, and costs less than a map that is asked twice a command.
type connTable struct {
	byFD []*loopConn
	n    int
}

// at returns the connection, or nil.
func (t *connTable) at(fd int) *loopConn {
	if uint(fd) >= uint(len(t.byFD)) {
		return nil
	}
	return t.byFD[fd]
}

// add adds a connection, or does nothing where it is there already: it comes back from a script that took long.
func (t *connTable) add(lc *loopConn) {
	if more := lc.fd + 1 - len(t.byFD); more > 0 {
		t.byFD = append(t.byFD, make([]*loopConn, more)...)
	}
	if t.byFD[lc.fd] == nil {
		t.n++
	}
	t.byFD[lc.fd] = lc
}

func (t *connTable) remove(lc *loopConn) {
	if t.at(lc.fd) == lc {
		t.byFD[lc.fd] = nil
		t.n--
	}
}

// send writes as much of the output as the socket takes. What is left is written when the socket
// can take more, which full says.
func (lc *loopConn) send() {
	c := lc.c
	c.outMu.Lock()
	defer c.outMu.Unlock()
	lc.full, lc.held = false, false
	for !lc.gone {
		if c.written == len(c.wbuf) {
			if c.commitAt > lc.l.commitAt {
				// Others have added something since, and queued the connection: it is the next turn's,
				// after the next commit.
				c.wrote()
				lc.held = true
				break
			}
			if !c.advance() {
				break
			}
		}
		n, err := rawWrite(lc.fd, c.wbuf[c.written:])
		c.written += n
		lc.l.count.writes++
		lc.l.count.out += int64(n)
		if errors.Is(err, errAgain) {
			lc.full = true
			break
		}
		lc.gone = err != nil
	}
	if lc.full != lc.wantOut && !lc.gone {
		lc.wantOut = lc.full
		events := uint32(syscall.EPOLLIN | syscall.EPOLLRDHUP)
		if lc.full {
			events |= syscall.EPOLLOUT
		}
		lc.gone = lc.l.control(syscall.EPOLL_CTL_MOD, lc.fd, events) != nil
	}
}

func rawWrite(fd int, b []byte) (int, error) {
	for {
		n, _, e := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch e {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, errAgain
		default:
			return 0, e
		}
	}
}

func (lc *loopConn) countsReads() {}

// Read reads what the socket has, or returns errAgain.
func (lc *loopConn) Read(b []byte) (int, error) {
	if lc.real != nil {
		n, err := lc.real.Read(b)
		lc.l.s.traffic.reads.Add(1)
		lc.l.s.traffic.in.Add(int64(n))
		return n, err
	}
	n, err := lc.rawRead(b)
	if !errors.Is(err, errAgain) {
		lc.l.count.reads++
		lc.l.count.in += int64(n)
	}
	return n, err
}

func (lc *loopConn) rawRead(b []byte) (int, error) {
	for {
		n, _, e := syscall.RawSyscall(syscall.SYS_READ, uintptr(lc.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch {
		case e == 0 && n == 0:
			return 0, io.EOF
		case e == 0:
			return int(n), nil
		case e == syscall.EAGAIN:
			return 0, errAgain
		case e != syscall.EINTR:
			return 0, e
		}
	}
}

// Write serves the messages that turn a connection away before it is a session, and who has taken the
// output over.
func (lc *loopConn) Write(b []byte) (int, error) {
	if lc.real != nil {
		return lc.real.Write(b)
	}
	return rawWrite(lc.fd, b)
}

// Close serves those too: a session's socket is closed by the loop.
func (lc *loopConn) Close() error {
	if lc.real != nil {
		return lc.real.Close()
	}
	return syscall.Close(lc.fd)
}

func (lc *loopConn) RemoteAddr() net.Addr { return lc.remote }
func (lc *loopConn) LocalAddr() net.Addr  { return lc.local }

// A socket of the loop never blocks, so it needs no deadlines; one that was given away has them.

func (lc *loopConn) SetDeadline(t time.Time) error {
	if lc.real != nil {
		return lc.real.SetDeadline(t)
	}
	return nil
}

func (lc *loopConn) SetReadDeadline(t time.Time) error {
	if lc.real != nil {
		return lc.real.SetReadDeadline(t)
	}
	return nil
}

func (lc *loopConn) SetWriteDeadline(t time.Time) error {
	if lc.real != nil {
		return lc.real.SetWriteDeadline(t)
	}
	return nil
}
