package main

import (
	"context"
	"sync"
)

// latch is a flag that others can wait for. The zero value is off. Safe for concurrent use.
type latch struct {
	mu  sync.Mutex
	on  bool
	ctx context.Context // ends when on becomes true; nil until somebody asks
	end context.CancelFunc
}

// Load reports whether the latch is on.
func (l *latch) Load() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.on
}

// Swap sets the latch and returns what it was.
func (l *latch) Swap(on bool) (old bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old, l.on = l.on, on
	switch {
	case on && l.end != nil:
		l.end()
	case !on && old:
		l.ctx, l.end = nil, nil
	}
	return old
}

// Store sets the latch.
func (l *latch) Store(on bool) { l.Swap(on) }

// Ending returns a context that ends when the latch goes on. It has ended if the latch is on.
func (l *latch) Ending() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx == nil {
		l.ctx, l.end = context.WithCancel(context.Background())
		if l.on {
			l.end()
		}
	}
	return l.ctx
}
