package resp_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"byor/pkg/resp"
)

// all reads commands to the end of r and returns them printed, with the error that ended it.
func all(r *resp.CommandReader) (cmds []string, err error) {
	for {
		args, err := r.ReadCommand()
		if err != nil {
			return cmds, err
		}
		cmds = append(cmds, fmt.Sprintf("%q", args))
	}
}

// chunks hands out its pieces one a Read.
type chunks [][]byte

func (c *chunks) Read(p []byte) (int, error) {
	for len(*c) > 0 && len((*c)[0]) == 0 {
		*c = (*c)[1:]
	}
	if len(*c) == 0 {
		return 0, io.EOF
	}
	n := copy(p, (*c)[0])
	(*c)[0] = (*c)[0][n:]
	return n, nil
}

func sampleStream() []byte {
	s := resp.AppendCommandStrings(nil, "SET", "key", "value with \r\n in it")
	s = append(s, "PING\r\n\r\nECHO \"a b\"\n*0\r\n*-1\r\n"...)
	s = resp.AppendCommandStrings(s, "MSET", strings.Repeat("k", 300), "", "b", strings.Repeat("v", 12))
	return resp.AppendCommandStrings(s, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k")
}

func TestEverySplitPointGivesTheSameCommands(t *testing.T) {
	s := sampleStream()
	want, err := all(resp.NewCommandReader(bytes.NewReader(s)))
	require.Equal(t, io.EOF, err)
	require.Len(t, want, 5)
	for i := range s {
		got, err := all(resp.NewCommandReader(&chunks{s[:i], s[i:]}))
		require.Equal(t, io.EOF, err)
		require.Equal(t, want, got, "split at %d", i)
		for j := i; j < len(s); j += 7 {
			got, err = all(resp.NewCommandReader(&chunks{s[:i], s[i:j], s[j:]}))
			require.Equal(t, io.EOF, err)
			require.Equal(t, want, got, "split at %d and %d", i, j)
		}
	}
	got, err := all(resp.NewCommandReader(iotest.OneByteReader(bytes.NewReader(s))))
	require.Equal(t, io.EOF, err)
	require.Equal(t, want, got)
}

func TestEveryTruncationIsSeen(t *testing.T) {
	s := resp.AppendCommandStrings(nil, "SET", "key", "value")
	for i := 1; i < len(s); i++ {
		cmds, err := all(resp.NewCommandReader(bytes.NewReader(s[:i])))
		require.Empty(t, cmds)
		require.Equal(t, io.ErrUnexpectedEOF, err, "cut at %d", i)
	}
}

func TestSourceErrorIsPassedOn(t *testing.T) {
	broken := errors.New("broken")
	r := resp.NewCommandReader(io.MultiReader(strings.NewReader("PING\r\nEC"), iotest.ErrReader(broken)))
	cmds, err := all(r)
	require.Equal(t, []string{`["PING"]`}, cmds)
	require.Equal(t, broken, err)
	require.Equal(t, io.ErrNoProgress, resp.NewCommandReader(&idle{}).Fill())
}

type idle struct{}

func (*idle) Read([]byte) (int, error) { return 0, nil }

// A batch of pipelined commands is collected with Next and stays valid until Fill.
func TestPipelinedBatch(t *testing.T) {
	var s []byte
	const n = 1000
	for i := range n {
		s = resp.AppendCommandStrings(s, "SET", fmt.Sprint("key:", i), fmt.Sprint(i))
	}
	r := resp.NewCommandReader(bytes.NewReader(s))
	seen, consumed := 0, int64(0)
	for seen < n {
		require.NoError(t, r.Fill())
		var batch [][][]byte
		for {
			args, err := r.Next()
			if err == resp.ErrIncomplete {
				break
			}
			require.NoError(t, err)
			batch = append(batch, args)
		}
		for _, args := range batch {
			require.Equal(t, fmt.Sprintf(`["SET" "key:%d" "%d"]`, seen, seen), fmt.Sprintf("%q", args))
			consumed += int64(len(resp.AppendCommand(nil, args...)))
			seen++
		}
		require.Equal(t, consumed, r.Consumed())
	}
	require.Zero(t, r.Buffered())
	require.Equal(t, io.EOF, r.Fill())
}

// An argument must not run into the next when a caller appends to it.
func TestArgumentsAreCapped(t *testing.T) {
	r := resp.NewCommandReader(strings.NewReader("*2\r\n$1\r\na\r\n$1\r\nb\r\nECHO c d\r\n"))
	for range 2 {
		args, err := r.ReadCommand()
		require.NoError(t, err)
		for _, a := range args {
			require.Equal(t, len(a), cap(a))
		}
		require.Equal(t, len(args), cap(args))
	}
}

func TestBufferIsGivenBack(t *testing.T) {
	big := strings.Repeat("v", 8<<20)
	s := resp.AppendCommandStrings(nil, "SET", "k", big)
	many := make([]string, 100_000)
	s = resp.AppendCommandStrings(s, many...)
	s = append(s, "PING\r\nPI"...)
	r := resp.NewCommandReader(&chunks{s, []byte("NG\r\n")})
	for _, want := range []int{3, len(many), 1} {
		args, err := r.ReadCommand()
		require.NoError(t, err)
		require.Len(t, args, want)
	}
	require.Greater(t, r.Size(), 1<<19, "two letters of the next command keep it until the next read")
	_, err := r.ReadCommand()
	require.NoError(t, err)
	require.LessOrEqual(t, r.Size(), 64<<10)
}

func TestLinesPayloadsAndCommandsShareOneBuffer(t *testing.T) {
	r := resp.NewCommandReader(strings.NewReader("+FULLRESYNC x 1\r\n\n$5\r\nhello*1\r\n$4\r\nPING\r\n"))
	for _, want := range []string{"+FULLRESYNC x 1", "", "$5"} {
		line, err := r.ReadLine()
		require.NoError(t, err)
		require.Equal(t, want, string(line))
	}
	payload := make([]byte, 5)
	_, err := io.ReadFull(r, payload)
	require.NoError(t, err)
	require.Equal(t, "hello", string(payload))
	cmds, err := all(r)
	require.Equal(t, io.EOF, err)
	require.Equal(t, []string{`["PING"]`}, cmds)
	_, err = r.ReadLine()
	require.Equal(t, io.EOF, err)

	r = resp.NewCommandReader(strings.NewReader(strings.Repeat("x", 100<<10)))
	_, err = r.ReadLine()
	require.ErrorContains(t, err, "too big inline request")
	n, err := io.Copy(io.Discard, r)
	require.NoError(t, err)
	require.Equal(t, int64(100<<10), n, "what was buffered comes first, then the source")
}

func TestSplitArgs(t *testing.T) {
	for line, want := range map[string]string{
		``:                     `[]`,
		"  \t ":                `[]`,
		`save 900 1`:           `["save" "900" "1"]`,
		`a"b c"`:               `["ab c"]`,
		`"\x00\xfF\"" 'it\'s'`: `["\x00\xff\"" "it's"]`,
		"a\x00b c":             `["a"]`,
		"\"a\"\x00b":           `["a"]`,
	} {
		args, ok := resp.SplitArgs([]byte(line))
		require.True(t, ok, line)
		require.Equal(t, want, fmt.Sprintf("%q", args), line)
	}
	for _, line := range []string{`"`, `'`, `a"b"c`, `"a\"`, `'a\'`, "\"a\x00\""} {
		_, ok := resp.SplitArgs([]byte(line))
		require.False(t, ok, line)
	}
}

func TestParseInt(t *testing.T) {
	for s, want := range map[string]int64{
		"0": 0, "7": 7, "-1": -1, "9223372036854775807": 1<<63 - 1, "-9223372036854775808": -1 << 63,
	} {
		n, ok := resp.ParseInt([]byte(s))
		require.True(t, ok, s)
		require.Equal(t, want, n)
	}
	for _, s := range []string{"", "-", "-0", "00", "01", "+1", " 1", "1 ", "1a", "a", "9223372036854775808",
		"-9223372036854775809", "18446744073709551616", "99999999999999999999", "100000000000000000000"} {
		_, ok := resp.ParseInt([]byte(s))
		require.False(t, ok, s)
	}
}

// endless repeats one command for ever.
type endless struct {
	cmd []byte
	at  int
}

func (e *endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		took := copy(p[n:], e.cmd[e.at:])
		n += took
		e.at = (e.at + took) % len(e.cmd)
	}
	return n, nil
}

func TestReadingACommandAllocatesNothing(t *testing.T) {
	r := resp.NewCommandReader(&endless{cmd: resp.AppendCommandStrings(nil, "SET", "key:000000000001", "xxx")})
	read := func() {
		if _, err := r.ReadCommand(); err != nil {
			t.Fatal(err)
		}
	}
	for range 10_000 {
		read()
	}
	require.Zero(t, testing.AllocsPerRun(10_000, read))
}

func BenchmarkReadCommand(b *testing.B) {
	cmd := resp.AppendCommandStrings(nil, "SET", "key:000000000001", "xxx")
	r := resp.NewCommandReader(&endless{cmd: cmd})
	b.SetBytes(int64(len(cmd)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.ReadCommand(); err != nil {
			b.Fatal(err)
		}
	}
}
