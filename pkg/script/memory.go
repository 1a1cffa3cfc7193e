package script

import (
	"context"
	"errors"
	"runtime"
	"runtime/metrics"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// A meter sits where gopher-lua expects a context: the machine asks it before each instruction whether it
// is done. It counts, and every hookPeriod times it looks whether the heap has grown too much and asks the
// hook. Functions that make long strings tell it before they do.
//
// The limit: a script may make the heap grow by memoryLimit. What is only garbage does not count, so before
// a script is refused, garbage is collected; that happens at most once for each eighth of memoryLimit.
// Redis has no such limit: there, a script that grows without end ends the server.
type meter struct {
	left    int // instructions until the next look
	hook    hook
	others  func() int64 // how many bytes of the heap are none of scripts: the data that they store. May be nil.
	err     error
	base    int64 // the heap's size that is none of the script's doing
	limit   int64 // bytes that a script may make the heap grow by
	allowed int64 // growth at which garbage is collected to see how much is none
	grown   int64 // bytes of strings made since the last look
	metric  [1]metrics.Sample
	done    chan struct{}
}

const (
	hookPeriod  = 1000
	memoryLimit = 512 << 20 // bytes
	lookEvery   = 16 << 20  // bytes of strings between two looks
)

var errMemory = errors.New("not enough memory: a script may use 512 MB")

func (m *meter) start(h hook) {
	if m.done == nil {
		m.done = make(chan struct{})
		close(m.done)
		m.metric[0].Name = "/memory/classes/heap/objects:bytes"
	}
	m.left, m.hook, m.err, m.grown = hookPeriod, h, nil, 0
	m.base, m.allowed = -1, m.limit
}

func (m *meter) stop() { m.hook, m.err, m.left = nil, nil, hookPeriod }

// Done is called before each instruction. A channel that can be read ends the script with the text of Err.
func (m *meter) Done() <-chan struct{} {
	if m.left--; m.left > 0 {
		return nil
	}
	return m.look()
}

func (m *meter) look() <-chan struct{} {
	if m.err == nil {
		m.left = hookPeriod
		if m.hook != nil {
			m.err = m.hook()
		}
		if m.err == nil && !m.fits(0) {
			m.err = errMemory
			m.left = 1
			return m.done
		}
	}
	if m.err == errMemory { // once: a script may catch it, as in Lua
		m.err, m.left = nil, hookPeriod
		return nil
	}
	if m.err != nil {
		m.left = 1
		return m.done
	}
	return nil
}

func (m *meter) heap() int64 {
	metrics.Read(m.metric[:])
	h := int64(m.metric[0].Value.Uint64())
	if m.others != nil {
		h -= m.others()
	}
	return h
}

// fits reports whether the script may use another n bytes.
func (m *meter) fits(n int64) bool {
	m.grown = 0
	h := m.heap()
	if m.base < 0 {
		m.base = h
	}
	if h+n-m.base <= m.allowed {
		return true
	}
	runtime.GC()
	h = m.heap()
	m.allowed = max(m.limit, h-m.base+m.limit/8)
	return h+n-m.base <= m.limit
}

// charge is called before a string of n bytes is made.
func (s *state) charge(L *lua.LState, n int) {
	m := &s.meter
	m.grown += int64(n)
	if n < 0 || int64(n) > m.limit || m.grown > lookEvery && !m.fits(int64(n)) {
		s.throwPlain(L, errMemory.Error())
	}
}

func (m *meter) Err() error {
	if m.err == nil {
		return errors.New("script ended")
	}
	return m.err
}

func (m *meter) Deadline() (time.Time, bool) { return time.Time{}, false }
func (m *meter) Value(any) any               { return nil }

var _ context.Context = (*meter)(nil)
