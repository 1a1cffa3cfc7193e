package repl

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"time"
)

// The writing end of a replica: the answer to PSYNC, the snapshot, through a file since its length goes first or
// straight to the connection, and the stream.

// KeepAlive sends an empty line, which says to a replica whose PSYNC is not answered yet that we are
// still there. Call it once a second until Run is called.
func (r *Replica) KeepAlive() error {
	r.Heard() // it has nothing to say yet
	r.conn.SetWriteDeadline(time.Now().Add(r.m.options().Timeout))
	_, err := io.WriteString(r.conn, "\n")
	return err
}

// Run sends the answer to PSYNC, the snapshot if PSync asked for one, and the stream, until the
// replica is gone, and returns why. snapshot writes the picture that was taken when PSync was called.
// Run closes the connection.
func (r *Replica) Run(snapshot func(w io.Writer) error) error {
	return r.serve(func() error { return r.sendSnapshot(snapshot) })
}

// RunFile is Run with a snapshot in a file, which other replicas may get, too. file waits until it is whole.
func (r *Replica) RunFile(file func() (*os.File, error)) error {
	return r.serve(func() error {
		f, err := r.patiently(file)
		if err != nil {
			return err
		}
		return r.sendFile(f)
	})
}

func (r *Replica) serve(send func() error) error {
	err := r.run(send)
	r.m.mu.Lock()
	delete(r.m.replicas, r)
	if r.err != nil {
		err = r.err
	}
	r.err = cmp.Or(r.err, errEnded)
	r.m.mu.Unlock()
	r.conn.Close()
	r.m.membersMoved()
	return err
}

func (r *Replica) run(send func() error) error {
	if err := r.write([]byte(r.header)); err != nil {
		return err
	}
	if r.full {
		if err := send(); err != nil || r.rdbOnly {
			return err
		}
		r.setState(Online)
	}
	r.m.membersMoved()
	for {
		r.m.mu.Lock()
		b, err := r.at.next(), r.err
		r.m.mu.Unlock()
		switch {
		case err != nil:
			return err
		case len(b) == 0:
			<-r.wake
		default:
			if err := r.write(b); err != nil {
				return err
			}
		}
	}
}

func (r *Replica) setState(s ReplicaState) {
	r.m.mu.Lock()
	r.state = s
	r.m.mu.Unlock()
}

// write writes with a deadline: a peer that takes nothing for so long is gone.
func (r *Replica) write(b []byte) error {
	for len(b) > 0 {
		part := b[:min(len(b), 256<<10)]
		r.conn.SetWriteDeadline(time.Now().Add(r.m.options().Timeout))
		n, err := r.conn.Write(part)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// Write lets a snapshot be streamed to the replica.
func (r *Replica) Write(b []byte) (int, error) {
	if err := r.write(b); err != nil {
		return 0, err
	}
	r.Heard() // it is busy taking what we send, and may say nothing
	return len(b), nil
}

// sendSnapshot sends the snapshot in one of the two framings.
func (r *Replica) sendSnapshot(snapshot func(w io.Writer) error) error {
	if r.Streams() && (r.header != "" || r.rdbOnly || r.filter != Filter{}) { // a replica of the old SYNC never acknowledges
		return r.streamSnapshot(snapshot)
	}
	f, err := r.patiently(func() (*os.File, error) { return r.snapshotFile(snapshot) })
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	return r.sendFile(f)
}

// sendFile sends a snapshot whose length is known. Others may send the same file.
func (r *Replica) sendFile(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	r.setState(SendBulk)
	if err := r.write(fmt.Appendf(nil, "$%d\r\n", info.Size())); err != nil {
		return err
	}
	_, err = io.Copy(r, io.NewSectionReader(f, 0, info.Size()))
	return err
}

// snapshotFile writes the snapshot to a file.
func (r *Replica) snapshotFile(snapshot func(w io.Writer) error) (*os.File, error) {
	f, err := os.CreateTemp(r.m.options().TempDir, "temp-repl-*.rdb")
	if err != nil {
		return nil, err
	}
	if err := snapshot(f); err != nil {
		f.Close()
		os.Remove(f.Name())
		return nil, err
	}
	return f, nil
}

// patiently waits for the file and keeps the replica patient meanwhile. The wait is not ours to end, so it goes
// on for a replica that is gone.
func (r *Replica) patiently(file func() (*os.File, error)) (f *os.File, err error) {
	done := make(chan struct{})
	go func() {
		f, err = file()
		close(done)
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for dead := false; ; {
		select {
		case <-done:
			return f, err
		case <-tick.C:
			dead = dead || r.KeepAlive() != nil
		}
	}
}

// streamSnapshot sends a snapshot of unknown length between two marks. Behind the second one nothing
// may follow until the replica has acknowledged: one that loads to its disk looks for the mark only
// at the end of what it reads, and would wait for it for ever.
func (r *Replica) streamSnapshot(snapshot func(w io.Writer) error) error {
	mark := newID()
	if err := r.write([]byte("$EOF:" + mark + "\r\n")); err != nil {
		return err
	}
	if err := snapshot(r); err != nil {
		return err
	}
	r.m.mu.Lock()
	r.acked = -1
	r.m.mu.Unlock()
	if err := r.write([]byte(mark)); err != nil || r.rdbOnly {
		return err
	}
	for {
		r.m.mu.Lock()
		acked, err := r.acked >= 0, r.err
		r.m.mu.Unlock()
		if acked || err != nil {
			return err
		}
		<-r.wake
	}
}
