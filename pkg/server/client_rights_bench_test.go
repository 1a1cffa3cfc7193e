package server

import (
	"strings"
	"testing"

	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// BenchmarkRights measures what the rights of a user cost a command: nothing where it may do everything, else one
// look at its command and one at each of its keys. A run is an execution without a connection.
func BenchmarkRights(b *testing.B) {
	for _, user := range []struct{ name, rules string }{
		{"all", "+@all ~* &*"},
		{"commands", "+@all -@dangerous ~* &*"},
		{"a pattern", "+@all -@dangerous ~app:* &*"},
		{"ten patterns", "+@all -@dangerous ~a:* ~b:* ~c:* ~d:* ~e:* ~f:* ~g:* ~h:* ~i:* ~app:*"},
		{"three selectors", "+get ~x (+get ~y) (+@all ~app:*)"},
	} {
		for _, line := range []string{"GET app:k", "SET app:k v", "MGET app:a app:b app:c app:d app:e"} {
			b.Run(user.name+"/"+strings.Fields(line)[0], func(b *testing.B) {
				s, _ := startServer(b)
				s.eng.Lock()
				defer s.eng.Unlock()
				u := s.users.Commands().NewUser("u")
				require.NoError(b, u.Set(strings.Fields("on nopass "+user.rules)))
				c := s.newClient(nil)
				c.who.Become(u, true)
				args, ok := resp.SplitArgs([]byte(line))
				require.True(b, ok)
				b.ReportAllocs()
				for b.Loop() {
					c.Reply.Buf = c.Reply.Buf[:0]
					s.eng.Execute(&c.Session, args)
				}
				require.NotContains(b, string(c.Reply.Buf), "NOPERM")
			})
		}
	}
}
