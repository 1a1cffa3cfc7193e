package check

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"byor/pkg/check/process"
)

// A server that answers nobody any more (an unwritten execute, a lock that is taken twice) fails every
// check in the same way, and each check's own hint is about something else. So it is said
// once what is wrong, and after a few such checks the rest is left out.

const (
	muteHint = "no client gets an answer, not even to PING. In a fresh skeleton, begin with the first piece of \"Build it\". " +
		"Else replies are collected and not sent (Flush, then Fill), or somebody waits for ever, and all others for him: " +
		"a lock taken twice by one goroutine (RLock, then Lock, too), a Write to a client that does not read"
	// A parser of step 02 has no lock either, and nobody else to wait for.
	muteParser = "no client gets an answer, not even to PING. In a fresh skeleton, begin with the first piece of \"Build it\". " +
		"Else the parser asks for bytes that were never announced, or a loop in it does not end"
	muteEnough = 3 // checks in a row
	muteRest   = "not asked, since the last three checks left nobody an answer: mend that first"
)

// muteText is what to say of a step's server that answers nobody. For step 01 it is "": an echo server knows no
// PING, before its third piece it rightly answers nobody, and its checks can tell why one that should is silent.
func muteText(step int) string {
	switch step {
	case 1:
		return ""
	case 2:
		return muteParser
	}
	return muteHint
}

// mute says whether a fresh client of the server gets no answer to PING within limit. A server that refuses, closes or
// has ended is not mute.
func (h *sharedServer) mute(ctx context.Context, limit time.Duration) bool {
	h.mu.Lock()
	s := h.s
	h.mu.Unlock()
	if s == nil {
		return false
	}
	d := net.Dialer{Timeout: limit}
	c, err := d.DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	// In both ways to write it: in step 02, arrays are understood before typed lines are.
	if _, err := io.WriteString(c, "PING\r\n*1\r\n$4\r\nPING\r\n"); err != nil {
		return false
	}
	_, err = c.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// drop ends a server that the checker started, so that the next check gets a fresh one.
func (h *sharedServer) drop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.s != nil && h.target.Kind != process.KindAddr {
		h.s.End()
		h.s = nil
	}
}
