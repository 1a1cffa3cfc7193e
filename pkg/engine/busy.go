package engine

import "runtime"

// A script that takes long. It has the lock, so nobody is answered. From busy-reply-threshold on it gives the lock
// away again and again for a moment, and others learn that the server is busy. They may look, log in, or end the
// script, and nothing else: the data are half-way through a unit. So there are two ways to the lock. Lock waits until
// the script is over: it is for all who have to do with data, the clock's work as well as a client's. Enter does not
// wait: it is for who only brings in commands, which Execute refuses.

// Enter takes the lock even while a script is busy.
func (e *Engine) Enter() {
	e.acquire()
	e.StandApart()
}

// Busy returns what clients are told while a script takes so long that it lets others in; else "".
func (e *Engine) Busy() string {
	if e.busy == nil {
		return ""
	}
	return e.busyError
}

// GiveWay lets others in for a moment while the script runs. They are refused with msg.
func (in *Inner) GiveWay(msg string) {
	e := in.c.e
	if e.busy == nil {
		e.busy, e.busyError = in.c, msg
		in.c.peer.Busy()
	}
	running, muting, calm := e.Running, e.muting, e.Calm
	e.Running, e.muting, e.Calm = nil, nil, false
	e.PassOutput()
	e.mu.Unlock()
	runtime.Gosched()
	e.mu.Lock()
	e.Running, e.muting, e.Calm = running, muting, calm
}

// Abandoned reports whether the script is to end at once, because the server does.
func (in *Inner) Abandoned() bool { return in.c.e.abandoned }

// Abandon ends the busy script, as the server ends: nothing of what it did is handed on, and nobody but who called
// Abandon sees the data again. It waits until the script has ended, and does nothing where none is busy. The
// engine's lock must be held; it is let go meanwhile.
func (e *Engine) Abandon() {
	if e.busy == nil {
		return
	}
	e.abandoned = true
	for e.inner.c != nil {
		e.idle.Wait()
	}
}

// endBusy lets all others in.
func (e *Engine) endBusy() {
	if e.busy == nil {
		return
	}
	if e.abandoned {
		e.unit.ends, e.unit.buf = e.unit.ends[:0], e.unit.buf[:0]
		e.ready = nil
	} else {
		e.busy = nil
	}
	e.idle.Broadcast()
}

// LetGo lets in those again who were kept out since Abandon.
func (e *Engine) LetGo() {
	if e.abandoned {
		e.unit.ends, e.unit.buf = e.unit.ends[:0], e.unit.buf[:0] // of an EXEC that the script was a part of
		e.busy, e.abandoned = nil, false
		e.idle.Broadcast()
	}
}
