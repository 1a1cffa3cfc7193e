package pubsub_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"byor/pkg/pubsub"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", false}, {"*", "a", true}, {"a*", "a", true}, {"a***", "a", true},
		{"h?llo", "hello", true}, {"h?llo", "hllo", false}, {"h*llo", "hllo", true}, {"h*llo", "heeeello", true},
		{"h[ae]llo", "hello", true}, {"h[ae]llo", "hillo", false}, {"h[^e]llo", "hallo", true}, {"h[^e]llo", "hello", false},
		{"h[a-b]llo", "hbllo", true}, {"h[b-a]llo", "hbllo", true}, {"h[a-b]llo", "hcllo", false},
		{`a\*c`, "a*c", true}, {`a\*c`, "abc", false}, {`a\`, `a\`, true}, {`[\]]`, "]", true}, {`[a\-z]`, "m", false},
		{"[abc", "b", true}, {"[", "[", false}, {"[^", "x", true}, {"[]", "]", false}, {"[^]a", "xa", true},
		{"[a-", "-", true}, {"[a-]", "_", true}, {"[a-]", "-", false}, {"*a*b", "xaxbxb", true}, {"*a?", "aab", true}, {"A", "a", false},
		{"[a-\xff]", "b", false}, {"[a-\xff]", "A", true}, {"[\x80-\xff]", "\xc3", true},
	} {
		require.Equal(t, c.want, pubsub.Match(c.pattern, c.s), "%q against %q", c.pattern, c.s)
		require.Equal(t, c.want, pubsub.Match([]byte(c.pattern), []byte(c.s)), "%q against %q", c.pattern, c.s)
	}
	require.True(t, pubsub.MatchFold("MAX*[A-Z]", "maxMemory"))
	require.True(t, pubsub.MatchFold("[x]?", "Xy"))
	require.False(t, pubsub.MatchFold("max*", "min"))
	require.False(t, pubsub.MatchFold(`[\x]`, "X"), "an escape in a class does not fold, in Redis either")
}

// A pattern full of stars must not take exponential time; with Redis's
// recursion, were it not cut short, this would not end.
func TestMatchIsNotExponential(t *testing.T) {
	pattern := strings.Repeat("a*", 1000) + "b"
	require.False(t, pubsub.Match(pattern, strings.Repeat("a", 3000)))
}

// Random patterns against random keys, judged by KEYS of the real server.
func TestMatchLikeRedis(t *testing.T) {
	c := dialRedis(t)
	const alphabet = "aabc*?[]^-\\\x80\xff"
	rng := rand.New(rand.NewPCG(3, 4))
	random := func(max int, letters string) string {
		s := make([]byte, rng.IntN(max+1))
		for i := range s {
			s[i] = letters[rng.IntN(len(letters))]
		}
		return string(s)
	}
	keys := map[string]bool{"": true}
	c.do(t, "SET", "", "")
	for range 300 {
		k := random(6, alphabet)
		keys[k] = true
		c.do(t, "SET", k, "")
	}
	for range 10000 {
		pattern := random(8, alphabet)
		if pattern == "*" {
			continue // KEYS does not ask the matcher for this one
		}
		want := map[string]bool{}
		for _, k := range c.do(t, "KEYS", pattern).([]any) {
			want[k.(string)] = true
		}
		for k := range keys {
			if want[k] != pubsub.Match(pattern, k) {
				require.Failf(t, "not as Redis", "pattern %q, key %q: Redis says %v", pattern, k, want[k])
			}
		}
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("a*[b-", "abc")
	f.Add(`[^\`, `\`)
	f.Fuzz(func(t *testing.T, pattern, s string) {
		// Properties that need no oracle: no panic; a quoted string matches itself
		// and nothing else; a star before and behind changes nothing but the context.
		quoted := make([]byte, 0, 2*len(s))
		for i := range len(s) {
			quoted = append(quoted, '\\', s[i])
		}
		require.True(t, pubsub.Match(quoted, s))
		require.Equal(t, pattern == s, pubsub.Match(quoted, pattern))
		if pubsub.Match(pattern, s) && s != "" && !strings.ContainsAny(pattern, `\[`) {
			require.True(t, pubsub.Match("*"+pattern+"*", "x"+s+"y"))
			require.True(t, pubsub.MatchFold(pattern, s))
		}
	})
}
