package aof

// While one goroutine applies commands, another reads the next ones. They come in
// batches, since a channel costs as much as a command.

const (
	aheadBatches  = 4
	aheadCommands = 128      // a batch has no more commands
	aheadBytes    = 64 << 10 // nor many more bytes
)

// batch is commands of one file, in order.
type batch struct {
	commands [][][]byte
	at       []int64 // at[i] is where commands[i] begins in the file; one more says where the last ends
	end      int64   // where reading has come to
	err      error   // why it goes no further, or nil

	// The memory of the commands, see scanner.
	args [][]byte
	text []byte
}

// ahead is a goroutine that reads.
type ahead struct {
	full, free chan *batch
	stop       chan struct{}
}

// readAhead begins to read commands. The scanner is the goroutine's until full is
// closed. Whoever takes batches from it puts them into free when they are done.
func readAhead(s *scanner) *ahead {
	a := &ahead{full: make(chan *batch, aheadBatches), free: make(chan *batch, aheadBatches), stop: make(chan struct{})}
	for range aheadBatches {
		a.free <- new(batch)
	}
	go func() {
		defer close(a.full)
		for {
			select {
			case <-a.stop:
				return
			case b := <-a.free:
				b.fill(s)
				a.full <- b // there is room for all
				if b.err != nil {
					return
				}
			}
		}
	}()
	return a
}

// close ends the goroutine and waits for it.
func (a *ahead) close() {
	close(a.stop)
	for range a.full {
		continue
	}
}

// fill reads the commands of a batch.
func (b *batch) fill(s *scanner) {
	b.commands, b.at = b.commands[:0], append(b.at[:0], s.off)
	s.args, s.text = b.args[:0], b.text[:0]
	if cap(s.text) > readChunk {
		s.text = nil // one huge value must not stay in memory for the whole load
	}
	for len(b.commands) < aheadCommands && len(s.text) < aheadBytes {
		var args [][]byte
		if args, b.err = s.next(); b.err != nil {
			break
		}
		b.commands, b.at = append(b.commands, args), append(b.at, s.off)
	}
	b.end = s.off
	b.args, b.text = s.args, s.text
}
