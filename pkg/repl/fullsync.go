package repl

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"byor/pkg/resp"
)

// fullSync receives the snapshot.
func (l *link) fullSync(id string, offset int64) error {
	header, err := l.answer()
	if err != nil {
		return err
	}
	l.f.o.Logf("Full resync from master: %s:%d", id, offset)
	size := int64(-1)
	var in io.Reader
	var marked *eofReader
	if mark, ok := strings.CutPrefix(header, "$EOF:"); ok && len(mark) == markLen {
		marked = newEOFReader(l.r, []byte(mark))
		in = marked
	} else if n, ok := resp.ParseInt([]byte(strings.TrimPrefix(header, "$"))); ok && n >= 0 && header[0] == '$' {
		size = n
		in = &exactReader{l.r, n}
	} else {
		return fmt.Errorf("repl: %q where the length of the snapshot was expected", header)
	}
	// From here on the old data may go, and with them our position: if this fails, the next
	// attempt asks for everything.
	l.f.update(func(s *LinkStatus) { s.State, s.ReplID, s.Offset, s.Size, s.Loaded = Syncing, "", 0, size, 0 })
	if err := l.load(in, size, id, offset); err != nil {
		return fmt.Errorf("repl: loading the snapshot: %w", err)
	}
	if marked != nil {
		l.r = resp.NewCommandReader(io.MultiReader(bytes.NewReader(marked.rest()), l.r))
		l.expected = true
	}
	l.f.update(func(s *LinkStatus) { s.ReplID, s.Offset, s.Received = id, offset, offset })
	return nil
}

// load runs Load and keeps the master patient while it works, for it may read nothing for long.
func (l *link) load(in io.Reader, size int64, id string, offset int64) error {
	done := make(chan struct{})
	defer close(done)
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				l.write([]byte("\n"))
			}
		}
	}()
	counted := &counter{in, l.f}
	if err := l.f.o.Load(counted, size, id, offset); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, counted) // what Load left belongs to the snapshot, not to the stream
	return err
}

// counter counts the bytes of the snapshot for Status.
type counter struct {
	io.Reader
	f *Follower
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.f.update(func(s *LinkStatus) { s.Loaded += int64(n) })
	return n, err
}
