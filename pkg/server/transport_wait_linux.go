package server

import (
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"

	"byor/pkg/collector"
)

// How a loop waits.
//
// Go's scheduler hands out the right to run Go code, a P, one for each core. A goroutine that goes into a system
// call that may block gives its P up: some other thread is to have it. Under load a loop waits for some
// microseconds only, thousands of times a second, and each time another thread wakes up, looks for work, finds none
// and goes to sleep, on the very core that the client wanted. None of that work is ours: with 50 clients that wait
// for each reply there were twice as many context switches as a Redis has.
//
// So the loop keeps its P while it waits. The call is made raw, and Go's scheduler takes it for a long computation.
// It also stays on one thread, which the kernel then leaves on one core. What that could break, and why it does not:
//
//   - The collector stops the world by a signal to each thread that runs Go code (see runtime/preempt.go). The signal
//     ends the wait with EINTR, and the next function call stops. If it comes a moment too early, the runtime sends
//     another one, 100 microseconds later.
//   - Goroutines and timers that are queued on the P are taken over by others, as long as there is another P. So the
//     loops of the process never keep all of them: with one P there is nobody else, and the loop gives it up.
//   - They are many when a turn has woken goroutines, such as those of browsers, or those that wait for the engine's
//     lock: then one P would do the work that two can do. After such a turn the P is given up.
//   - A pause longer than keepMs is no load. The loop then waits as every goroutine does, so an idle server does nothing.
//
// What it brought with 50 clients at -P 1: 125 context switches for 1000 commands instead of 158, as a Redis beside it.
// Thousands of stops of the world took as long with it as without, half of them under 30 microseconds.

// keepMs is how long a wait keeps its P, in milliseconds: the shortest that epoll_pwait knows.
const keepMs = 1

// keeping is how many loops of the process keep their P while they wait.
var keeping atomic.Int32

// settle keeps the loop on the thread that it runs on, if it may keep its P.
func (l *loop) settle() {
	if l.countPs(); l.keepsP > 0 {
		runtime.LockOSThread()
	}
}

// countPs works out how many loops may keep their P at a time.
func (l *loop) countPs() {
	l.keepsP = int32(collector.UsualPs()) - 1
	if l.s.plain.Wait {
		l.keepsP = 0
	}
}

// wait waits for timeoutMs, for ever if that is negative, and returns the number of events.
func (l *loop) wait(timeoutMs int) int {
	if timeoutMs == 0 {
		return l.poll(0)
	}
	if n := l.pollKeeping(); n > 0 {
		return n
	}
	n, err := syscall.EpollWait(l.ep, l.events[:], timeoutMs)
	l.countPs()     // Go follows the limit of a container, which may change
	if err != nil { // an interruption
		return 0
	}
	return n
}

// pollKeeping waits for a moment, if the P can be kept so long, else it only looks.
func (l *loop) pollKeeping() int {
	if l.keepsP == 0 || l.woke {
		return l.poll(0)
	}
	ms := 0
	if keeping.Add(1) <= l.keepsP {
		ms = keepMs
	}
	n := l.poll(ms)
	keeping.Add(-1)
	return n
}

// poll waits without letting Go's scheduler know.
func (l *loop) poll(ms int) int {
	n, _, e := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(l.ep), uintptr(unsafe.Pointer(&l.events[0])),
		uintptr(len(l.events)), uintptr(ms), 0, 0)
	if e != 0 { // an interruption
		return 0
	}
	return int(n)
}
