package aof

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// scanAll returns what a scanner with a buffer of so many bytes finds in b, with the offsets.
func scanAll(b []byte, buffer int) (found []string) {
	s := scanner{r: bufio.NewReaderSize(bytes.NewReader(b), buffer), size: int64(len(b))}
	for {
		args, err := s.next()
		if err != nil {
			return append(found, fmt.Sprint(s.off, " ", err))
		}
		found = append(found, fmt.Sprintf("%d %q", s.off, args))
	}
}

// A command that is in the buffer as a whole is read in another way than one that is not. Both find the
// same in whatever there may be.
func TestBufferedCommandsAreReadAsOthers(t *testing.T) {
	files := []string{
		string(cmds("SELECT 0", "SET a 1", "MULTI", "INCR b", "EXEC")), "#TS:17\r\n" + string(cmds("PING")),
		"*1\n$4\nPING\r\n", "*2\r\n$3\r\nDEL\r\n$0\r\n\r\n", "*0\r\n", "*-1\r\n", "*\r\n", "*1\r\n$-1\r\n", "*01\r\n$04\r\nPING\r\n",
		"*1\r\n$4\r\nPINGxx", "*1\r\n$4\r\nPING\r", "*1\r\n$3\r\nPING\r\n", "*1\r\n:1\r\n", "*1x\r\n", "*1\r\n$9999999999\r\nx",
		"*1\r\n$1234567890\r\nx", "*99999999999\r\n", "*1000000\r\n$1\r\nx\r\n", "PING\r\n", "*+1\r\n$4\r\nPING\r\n", "* 1\r\n",
		"*1\r\n$+4\r\nPING\r\n", "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5000\r\n" + strings.Repeat("v", 5000) + "\r\n" + string(cmd("PING")),
	}
	for _, file := range files {
		for n := 0; n <= len(file); n += 1 + n/100 {
			b := []byte(file[:n])
			require.Equal(t, scanAll(b, 16), scanAll(b, 1<<20), "%q", b)
		}
	}
}

// Commands are applied within batches, in the order of the file, also those of a transaction that is longer
// than a batch.
func TestBatches(t *testing.T) {
	d := newDir(t)
	var file []byte
	var want []string
	for i := range 1000 {
		line := fmt.Sprint("SET key:", i, " ", strings.Repeat("v", 1+i))
		want = append(want, line)
		switch i {
		case 100:
			file = append(file, cmd("MULTI")...)
		case 600:
			file = append(file, cmd("EXEC")...)
		}
		file = append(file, cmd(line)...)
	}
	d.write("appendonly.aof.1.incr.aof", file)
	d.manifest("file appendonly.aof.1.incr.aof seq 1 type i")

	batches, commands, inside := 0, 0, false
	var got []string
	res, err := Load(Options{Dir: d.dir}, Handlers{
		Batch: func(c [][][]byte, apply func()) {
			batches, commands, inside = batches+1, commands+len(c), true
			apply()
			inside = false
		},
		Apply: func(args [][]byte) error {
			require.True(t, inside)
			got = append(got, string(bytes.Join(args, []byte(" "))))
			return nil
		},
	})
	require.NoError(t, err)
	require.True(t, slices.Equal(want, got))
	require.EqualValues(t, 1000, res.Commands)
	require.Equal(t, 1002, commands)
	require.Greater(t, batches, 1000/aheadCommands)
}

// failingReader gives what it has, and then an error.
type failingReader struct {
	io.Reader
	err error
}

func (r failingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF {
		err = r.err
	}
	return n, err
}

// What was read before a failed read is handed over first, and nobody reads any more when the last batch was
// taken, or when nobody takes them.
func TestReadAheadEnds(t *testing.T) {
	file := bytes.Repeat(cmd("INCR counter"), 2000)
	broken := errors.New("broken disk")
	s := &scanner{r: bufio.NewReader(failingReader{bytes.NewReader(file), broken}), size: int64(len(file))}
	a, n := readAhead(s), 0
	for b := range a.full {
		n += len(b.commands)
		if b.err != nil {
			require.ErrorIs(t, b.err, broken)
			require.EqualValues(t, len(file), b.end)
			continue
		}
		a.free <- b
	}
	a.close()
	require.Equal(t, 2000, n)

	s = &scanner{r: bufio.NewReader(bytes.NewReader(file)), size: int64(len(file))}
	a = readAhead(s)
	<-a.full
	a.close()
	s.off = 0 // under the race detector this says so if somebody still reads
}
