package trace

import (
	"fmt"
	"sync"
	"time"
)

// Traffic records what went over the wire during a check, for -v.
type Traffic struct {
	On    bool
	Plain bool // the bytes are no RESP: step 01 shows each send and receive as it was
	mu    sync.Mutex
	begin time.Time
	items []trafficItem
	size  int
}

type trafficItem struct {
	at    time.Duration
	conn  string
	out   bool
	bytes []byte
	cut   int // bytes left out
}

const (
	trafficEach = 512       // bytes kept of one send or receive
	trafficAll  = 256 << 10 // bytes kept of a check
)

// Add records that conn has sent b (out) or received it.
func (t *Traffic) Add(conn string, out bool, b []byte) {
	if !t.On {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.begin.IsZero() {
		t.begin = time.Now()
	}
	keep := b[:min(len(b), trafficEach)]
	if t.size += len(keep); t.size > trafficAll {
		return
	}
	t.items = append(t.items, trafficItem{time.Since(t.begin), conn, out, append([]byte{}, keep...), len(b) - len(keep)})
}

// Lines shows the record, one line a frame, annotated.
func (t *Traffic) Lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []string
	for _, it := range t.items {
		arrow := "<-"
		if it.out {
			arrow = "->"
		}
		head := fmt.Sprintf("%8.3fms %s %s", float64(it.at.Microseconds())/1000, it.conn, arrow)
		if t.Plain {
			n := len(it.bytes) + it.cut
			out = append(out, fmt.Sprintf("%s %-40s %d bytes", head, fmt.Sprintf("%q", it.bytes), n))
			continue
		}
		for i, p := range Annotate(it.bytes, it.out) {
			if i > 0 {
				head = fmt.Sprintf("%*s", len(head), arrow)
			}
			out = append(out, fmt.Sprintf("%s %-40s %s", head, p.Text, p.Note))
		}
		if it.cut > 0 {
			out = append(out, fmt.Sprintf("%*s %d more bytes", len(head), arrow, it.cut))
		}
	}
	if t.size > trafficAll {
		out = append(out, "… and more than is kept")
	}
	return out
}
