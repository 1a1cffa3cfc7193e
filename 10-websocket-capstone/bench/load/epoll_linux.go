//go:build amd64 || arm64

package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"syscall"
	"time"
	"unsafe"
)

// On Linux one thread drives all its connections with epoll and plain reads and writes, as redis-benchmark does. On a
// machine of two cores the load generator's own cost decides what can be seen at all; the Go scheduler, with a
// goroutine to park and wake for each reply, would take about twice as much.
//
// redis-benchmark itself spends most of its time in epoll_ctl. Before each batch it stops waiting for replies and waits
// until the socket may be written, which it may be at once; after it the other way round. A client that simply writes
// needs none of that. It gets more out of the same server, and so its figures are not redis-benchmark's.
// The client "redis-benchmark" therefore makes the same five calls; "lean" makes none.

func defaultTransport() transport { return runEpoll }

type epollLoop struct {
	*thread
	epfd, timer int
	fds         []int
	blocked     []bool // has bytes to write and waits for the socket to take them
	leave       []bool // waits until it may write its next batch
	leaves      int    // how many do
	in          []byte
	stopped     bool // open loop: the timetable is at its end
	drainUntil  int64
}

const timerTag = -1

func runEpoll(ctx context.Context, th *thread) (err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	e := &epollLoop{thread: th, in: make([]byte, 256<<10), timer: -1,
		blocked: make([]bool, len(th.conns)), leave: make([]bool, len(th.conns))}
	defer e.close()
	if err := e.open(); err != nil {
		return err
	}
	if th.load.Rate > 0 {
		if err := e.openTimer(); err != nil {
			return err
		}
	} else {
		for i := range e.fds {
			if err := e.turn(i); err != nil {
				return err
			}
		}
	}
	return e.loop(ctx)
}

// open takes a descriptor of each connection that Go's own poller does not know.
func (e *epollLoop) open() (err error) {
	if e.epfd, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("epoll_create1: %w", err)
	}
	for i, c := range e.conns {
		sc, ok := c.(syscall.Conn)
		if !ok {
			return fmt.Errorf("%T has no descriptor", c)
		}
		raw, err := sc.SyscallConn()
		if err != nil {
			return err
		}
		var dup int
		var dupErr error
		if err := raw.Control(func(fd uintptr) { dup, dupErr = syscall.Dup(int(fd)) }); err != nil {
			return err
		}
		if dupErr != nil {
			return fmt.Errorf("dup: %w", dupErr)
		}
		_ = c.Close() // the copy lives on
		e.fds = append(e.fds, dup)
		if err := e.watch(syscall.EPOLL_CTL_ADD, i, syscall.EPOLLIN); err != nil {
			return err
		}
	}
	return nil
}

func (e *epollLoop) close() {
	for _, fd := range e.fds {
		_ = syscall.Close(fd)
	}
	if e.timer >= 0 {
		_ = syscall.Close(e.timer)
	}
	_ = syscall.Close(e.epfd)
}

func (e *epollLoop) watch(op, i int, events uint32) error {
	if err := syscall.EpollCtl(e.epfd, op, e.fds[i], &syscall.EpollEvent{Events: events, Fd: int32(i)}); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

// openTimer makes a timer descriptor: epoll_wait's own time-out is in
// milliseconds, and an open loop may have a batch due every 20 µs.
func (e *epollLoop) openTimer() error {
	const clockMonotonic = 1
	fd, _, errno := syscall.Syscall(syscall.SYS_TIMERFD_CREATE, clockMonotonic, syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if errno != 0 {
		return fmt.Errorf("timerfd_create: %w", errno)
	}
	e.timer = int(fd)
	err := syscall.EpollCtl(e.epfd, syscall.EPOLL_CTL_ADD, e.timer, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: timerTag})
	if err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return e.tick()
}

func (e *epollLoop) loop(ctx context.Context) error {
	events := make([]syscall.EpollEvent, 256)
	for !e.over() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		timeout := 100 // ms, to look at ctx now and then
		if left := (e.clock.end - nanos()) / int64(time.Millisecond); left < 100 {
			timeout = int(max(left, 1))
		}
		n, err := syscall.EpollWait(e.epfd, events, timeout)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("epoll_wait: %w", err)
		}
		for _, ev := range events[:max(n, 0)] {
			if err := e.handle(int(ev.Fd), ev.Events); err != nil {
				return err
			}
		}
	}
	return nil
}

// over reports whether everything measured is done.
func (e *epollLoop) over() bool {
	if e.load.Rate == 0 && e.load.Requests == 0 {
		return nanos() >= e.clock.end
	}
	if e.load.Rate > 0 {
		if !e.stopped {
			return false
		}
		if nanos() >= e.drainUntil {
			return true
		}
	}
	return e.leaves == 0 && !slices.ContainsFunc(e.talks, (*talk).waiting)
}

func (e *epollLoop) handle(i int, events uint32) error {
	if i == timerTag {
		return e.tick()
	}
	if e.leave[i] && events&syscall.EPOLLOUT != 0 {
		return e.granted(i)
	}
	if events&syscall.EPOLLOUT != 0 {
		if err := e.write(i); err != nil {
			return err
		}
	}
	if events&^syscall.EPOLLOUT == 0 {
		return nil
	}
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(e.fds[i]), uintptr(unsafe.Pointer(&e.in[0])), uintptr(len(e.in)))
	switch {
	case errno == syscall.EAGAIN || errno == syscall.EINTR:
		return nil
	case errno != 0:
		return fmt.Errorf("read: %w", errno)
	case n == 0:
		return fmt.Errorf("the server closed a connection: %w", io.EOF)
	}
	if _, err := e.talks[i].heard(e.in[:n], nanos()); err != nil {
		return err
	}
	if e.load.Rate == 0 && !e.talks[i].waiting() {
		return e.turn(i)
	}
	return nil
}

// turn is a connection's turn to send in a closed loop: at once, or when the kernel gives leave.
func (e *epollLoop) turn(i int) error {
	if e.load.Client == "lean" {
		return e.next(i)
	}
	e.leave[i] = true
	e.leaves++
	return errors.Join(e.watch(syscall.EPOLL_CTL_MOD, i, syscall.EPOLLIN), e.watch(syscall.EPOLL_CTL_DEL, i, 0),
		e.watch(syscall.EPOLL_CTL_ADD, i, syscall.EPOLLOUT))
}

// granted sends the batch that a connection waited to send, and waits for its replies.
func (e *epollLoop) granted(i int) error {
	e.leave[i] = false
	e.leaves--
	if err := e.next(i); err != nil || e.blocked[i] {
		return err
	}
	return errors.Join(e.watch(syscall.EPOLL_CTL_DEL, i, 0), e.watch(syscall.EPOLL_CTL_ADD, i, syscall.EPOLLIN))
}

// next sends a batch in a closed loop, if there is to be one.
func (e *epollLoop) next(i int) error {
	now := nanos()
	if !e.mayAsk(now) {
		return nil
	}
	e.talks[i].ask(now)
	return e.write(i)
}

// tick sends what the timetable of the open loop says is due, and sets
// the timer for what comes next.
func (e *epollLoop) tick() error {
	var spent [8]byte
	_, _ = syscall.Read(e.timer, spent[:])
	now := nanos()
	for !e.stopped && e.pacer.due() <= now {
		due := e.pacer.due()
		if !e.mayAsk(due) {
			e.stopped = true
			e.drainUntil = now + int64(DrainTime)
			return nil
		}
		i := int(e.pacer.k % int64(len(e.talks)))
		e.pacer.k++
		e.talks[i].ask(due)
		if err := e.write(i); err != nil {
			return err
		}
	}
	wait := max(e.pacer.due()-nanos(), 1)
	var spec [4]int64 // struct itimerspec: the interval, then the first expiry, each s and ns
	spec[2], spec[3] = wait/int64(time.Second), wait%int64(time.Second)
	_, _, errno := syscall.RawSyscall6(syscall.SYS_TIMERFD_SETTIME, uintptr(e.timer), 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("timerfd_settime: %w", errno)
	}
	return nil
}

// write sends what the talk has to say; what the socket does not take waits.
func (e *epollLoop) write(i int) error {
	t := e.talks[i]
	for len(t.out) > 0 {
		n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(e.fds[i]), uintptr(unsafe.Pointer(&t.out[0])), uintptr(len(t.out)))
		if errno == syscall.EINTR {
			continue
		}
		if errno == syscall.EAGAIN {
			break
		}
		if errno != 0 {
			return fmt.Errorf("write: %w", errno)
		}
		t.out = t.out[:copy(t.out, t.out[n:])]
	}
	blocked := len(t.out) > 0
	if blocked == e.blocked[i] {
		return nil
	}
	e.blocked[i] = blocked
	events := uint32(syscall.EPOLLIN)
	if blocked {
		events |= syscall.EPOLLOUT
	}
	return e.watch(syscall.EPOLL_CTL_MOD, i, events)
}
