package diff

import (
	"byor/pkg/redistest"
	"bytes"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// spellings are numbers, and what is nearly one, as C's strtod, strtold, strtol and Redis's own
// string2ll take them or do not.
var spellings = []string{
	// integers and both ends of their ranges
	"0", "1", "-1", "2", "3", "-2", "10", "15", "16", "63", "64", "65", "127", "128", "255", "256", "10000", "99999999",
	"2147483647", "2147483648", "-2147483648", "4294967295", "4294967296", "4611686018427387904", "4611686018427387903",
	"9007199254740991", "9007199254740993", "9223372036854775", "9223372036854776", "-9223372036854775", "-9223372036854776",
	"9223372036854775806", "9223372036854775807", "9223372036854775808", "-9223372036854775807", "-9223372036854775808",
	"-9223372036854775809", "18446744073709551615", "18446744073709551616", "99999999999999999999", "100000000000000000000000",
	// ways to write one
	"", "-", "+", "+1", "-0", "+0", "00", "01", "-01", "007", " 1", "1 ", "\t1", "\n1", "\v1", "1\n", "1\r\n", "1\x00", "\x001", "1\x002", "\x00",
	"1_000", "_1", "1,5", "--1", "+-1", "0x", "0x10", "0X1F", "-0x10", "0b1", "0o7", "1e", "1e+", "0b101", "1L", "1f", "x", "one", "١",
	// decimal fractions
	"1.5", "-1.5", "1.", ".5", ".", "-.5", "+.5", "1..5", "1.5.5", "0.1", "0.5", "0.05", "0.001", "0.0001", "0.0000000001", "3.0", "10.50", "1.0e1",
	"123456789.123456789", "0.30000000000000004", "1.7976931348623157", "17179869184.00001", "1e3", "1E3", "1e+3", "1e-3", "1e03", "5e-1",
	"1e15", "1e16", "1e17", "1e18", "1e19", "1e20", "123456789012345678", "1234567890123456789012", "999999999999999.9", "1e21", "1.5e300",
	"9223372036854775807.5", "9223372036854774784.0", "9.223372036854775e15", "9.3e15", "1e400", "-1e400", "1e-400", "-1e-400",
	"1.7976931348623157e308", "1.7976931348623158e308", "1.7976931348623159e308", "1.8e308", "2.2250738585072014e-308", "2.2250738585072011e-308",
	"4.9e-324", "5e-324", "2e-324", "2.4703282292062327e-324", "1e4932", "1.18973149535723176502e4932", "1.2e4932", "1e4933", "1e5000", "3.6e-4951", "1e-4950", "1e-4952", "1e-5000",
	"1e999999999999999999999", "1e-999999999999999999999", "0e999999999999999999999",
	// hexadecimal fractions
	"0x1p4", "0X1P4", "1p4", "0x1.8p1", "0x.8", "0x1.", "0x1.8", "0x.", "0xp1", "0x1p", "0x1p+", "0x1p-2", "0x1.fffffffffffff8p1023", "0x1p1024", "0x1p-1074", "0x1p-1075",
	"0x1p16384", "0x1p16383", "0x1p-16445", "0x1p-16446", "0x1.123456789abcdef01234p0", "0x1e3", "-0x1p4", "+0x1p4", "0x 1", "0x_1p4", "0xffffffffffffffffffff",
	// what is no number
	"inf", "-inf", "+inf", "INF", "Inf", "infinity", "-Infinity", "+INFINITY", "infinit", "infinityx", "inf ", " inf", "inf\x00", "in",
	"nan", "NaN", "-nan", "+nan", "nan()", "nan(1)", "nan(0x1_a)", "nan(1", "nan(-)", "nanx",
	// long ones
	strings.Repeat("0", 30) + "1", strings.Repeat("9", 30), "0." + strings.Repeat("0", 300) + "1", "0." + strings.Repeat("1", 60), "1" + strings.Repeat("0", 308), "1" + strings.Repeat("0", 309),
	"1." + strings.Repeat("0", 255), "1." + strings.Repeat("0", 250), "1." + strings.Repeat("0", 253), "1." + strings.Repeat("0", 254), "1." + strings.Repeat("0", 125), "1." + strings.Repeat("0", 126),
	"1." + strings.Repeat("0", 5116), "1." + strings.Repeat("0", 5117), "1." + strings.Repeat("0", 5118), strings.Repeat("0", 5118) + "7", strings.Repeat("1", 4933),
}

// TestDiffNumbers puts each spelling into each place of testdata/numbers.txt and compares the replies of
// both servers byte by byte.
func TestDiffNumbers(t *testing.T) {
	text, err := os.ReadFile("testdata/numbers.txt")
	require.NoError(t, err)
	redis := startRedis(t, "--proto-max-bulk-len", "1mb")
	ours := startServer(t, "--proto-max-bulk-len", "1mb")
	for _, proto := range []string{"2", "3"} {
		a, b := redistest.Connect(t, ours), redistest.Connect(t, redis)
		a.Do("HELLO " + proto)
		b.Do("HELLO " + proto)
		for _, line := range strings.Split(string(text), "\n") {
			if line != "" && line[0] != '#' {
				compareNumbers(t, line, proto, a, b)
			}
		}
	}
}

// numberMark is echoed behind each spelling's commands.
const numberMark = "$6\r\n=mark=\r\n"

func compareNumbers(t *testing.T, line, proto string, ours, redis *redistest.Client) {
	t.Helper()
	var wire []byte
	for _, s := range spellings {
		for _, cmd := range strings.Split(line+" ; SELECT 0 ; DEL k k2", " ; ") {
			args := redistest.Words(t, cmd)
			for i, a := range args {
				args[i] = strings.ReplaceAll(a, "%", s)
			}
			wire = resp.AppendCommandStrings(wire, args...)
		}
		wire = resp.AppendCommandStrings(wire, "ECHO", "=mark=")
	}
	want, got := numberReplies(redis, wire), numberReplies(ours, wire)
	for i, s := range spellings {
		w, g := want[i], got[i]
		if strings.Contains(line, "EXPIRETIME") || strings.Contains(line, "IDLETIME") || strings.Contains(line, "-*") {
			w, g = levelTimes(w, g)
		}
		if w != g {
			t.Errorf("RESP%s %s\nwith %q\nreal Redis: %q\nours:       %q", proto, line, s, w, g)
		}
	}
}

// numberReplies sends the commands and returns what came back for each spelling, as it came.
func numberReplies(c *redistest.Client, wire []byte) []string {
	c.T.Helper()
	go c.Conn.Write(wire)
	var got []byte
	buf := make([]byte, 64<<10)
	c.Conn.SetReadDeadline(time.Now().Add(60 * time.Second))
	for bytes.Count(got, []byte(numberMark)) < len(spellings) {
		n, err := c.Conn.Read(buf)
		got = append(got, buf[:n]...)
		if err == io.EOF {
			c.T.Fatalf("connection closed after %q", got[max(0, len(got)-200):])
		}
		require.NoError(c.T, err, "after %q", got[max(0, len(got)-200):])
	}
	return strings.SplitAfter(string(got), numberMark)
}

var longInteger = regexp.MustCompile(`[0-9]{7,}`)

// levelTimes makes two replies about time equal that differ only because the two servers were asked a
// moment apart.
func levelTimes(a, b string) (string, string) {
	x, y := longInteger.FindAllString(a, -1), longInteger.FindAllString(b, -1)
	if len(x) != len(y) || longInteger.ReplaceAllString(a, "") != longInteger.ReplaceAllString(b, "") {
		return a, b
	}
	for i := range x {
		n, err1 := strconv.ParseInt(x[i], 10, 64)
		m, err2 := strconv.ParseInt(y[i], 10, 64)
		if x[i] != y[i] && (err1 != nil || err2 != nil || n-m > 10_000 || m-n > 10_000) {
			return a, b
		}
	}
	return a, a
}
