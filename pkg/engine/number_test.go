package engine

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The short way of ParseFloat says the same as the long one, of which number it is and of whether it is one.
func TestParseFloatTheShortWay(t *testing.T) {
	words := []string{"", "-", "0", "-0", "00", "-007", "000000012345", "999999999999999", "1000000000000000", "-999999999999999",
		"+1", "--1", "1-", "1a", "0x10", "1e3", ".5", "5.", " 1", "1 ", "inf", "nan"}
	for range 5000 {
		n := strconv.FormatInt(rand.Int64()>>rand.IntN(63), 10)
		words = append(words, n, strings.Repeat("0", rand.IntN(4))+strings.TrimPrefix(n, "-"))
	}
	for _, word := range words {
		short, quick := digits([]byte(word))
		if !quick {
			continue
		}
		long, n, outOfRange := Strtod(word)
		require.Equal(t, len(word), n, word)
		require.False(t, outOfRange)
		require.Equal(t, math.Float64bits(long), math.Float64bits(short), word)
	}
	for word, want := range map[string]bool{"": false, "-": false, "1000000000000000": true, "+1": true, "1-": false, "0x10": true, " 1": false, "1 ": false, "nan": false} {
		_, ok := ParseFloat([]byte(word))
		require.Equal(t, want, ok, word)
	}
}
