package aof

import (
	"io"
	"time"
)

// The disk begins early.
//
// A sync has to write all that has gathered in the kernel's cache, and the note in the file system's journal that the
// file is longer now. As long as that note is on its way, a write that makes the file longer still has to wait: 12 to
// 19 milliseconds once a second, with 20 MB a second and a disk that takes 60 for the sync. Redis holds its writes
// back meanwhile. Here the replies wait for them.
//
// So the kernel is asked to begin 20 milliseconds after something was written, and nobody waits for it. What is left
// for the sync is little. The longest write in the same program was 0.5 milliseconds then.

const (
	earlyEvery = 20 * time.Millisecond // from one beginning to the next
	steadyPart = 1 << 20               // bytes of a base or a snapshot after which the disk begins
	syncEvery  = 32 << 20              // and after which it is waited for
)

// earlyFile is a File that can begin to sync. StartSync neither waits nor promises anything.
type earlyFile interface{ StartSync() }

// Steadily returns a writer to f for much data. Otherwise the kernel gathers gigabytes, and everybody who syncs
// another file then waits for them.
func Steadily(f File) io.Writer { return &steadyWriter{f: f} }

type steadyWriter struct {
	f              File
	begun, waiting int // bytes since the disk has begun, and since it was waited for
}

func (w *steadyWriter) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	w.begun += n
	w.waiting += n
	if err != nil {
		return n, err
	}
	if early, ok := w.f.(earlyFile); ok && w.begun >= steadyPart {
		w.begun = 0
		early.StartSync()
	}
	if w.waiting >= syncEvery {
		w.waiting = 0
		err = w.f.Sync()
	}
	return n, err
}

// wroteSome tells the background goroutine that the disk can begin.
func (l *Log) wroteSome() {
	if Policy(l.policy.Load()) == EverySec {
		select {
		case l.dirty <- struct{}{}:
		default: // it knows
		}
	}
}

// begin lets the disk begin with what was written. It runs in the background goroutine.
func (l *Log) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	early, ok := l.file.(earlyFile)
	if !ok || l.crossing || l.closed || l.hold.Load() {
		return
	}
	l.beginning = true // keeps the file open
	l.mu.Unlock()
	early.StartSync()
	l.mu.Lock()
	l.beginning = false
	l.wake.Broadcast()
}
