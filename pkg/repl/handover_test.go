package repl

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// info is an answer to INFO.
func info(text string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text) }

// introduced takes the next connection and returns the first command that is no part of the handshake.
func (m *fake) introduced() string {
	m.t.Helper()
	m.conn = <-m.conns
	m.r = resp.NewCommandReader(m.conn)
	for {
		words := m.read()
		if words != "PING" && !strings.HasPrefix(words, "REPLCONF") {
			return words
		}
		m.send("+OK\r\n")
	}
}

// What a master that hands over asks of the replica depends on what that says of itself: who has all the data is made
// the master; who has become it already is followed; who lacks something is not, unless that is forced.
func TestHandOver(t *testing.T) {
	const (
		synced   = "role:slave\r\nmaster_replid:" + idA + "\r\nmaster_repl_offset:100\r\n"
		behind   = "role:slave\r\nmaster_replid:" + idA + "\r\nmaster_repl_offset:90\r\n"
		other    = "role:slave\r\nmaster_replid:" + idB + "\r\nmaster_repl_offset:100\r\n"
		promoted = "role:master\r\nmaster_replid:" + idB + "\r\nmaster_replid2:" + idA + "\r\nsecond_repl_offset:101\r\n"
		emptied  = "role:master\r\nmaster_replid:" + idB + "\r\nmaster_replid2:" + noID + "\r\nsecond_repl_offset:-1\r\n"

		asked, plain = "PSYNC " + idA + " 101 FAILOVER", "PSYNC " + idA + " 101"
		accepts      = "+CONTINUE " + idB + "\r\n"
		rejects      = "-ERR PSYNC FAILOVER replid must match my replid.\r\n"
		rejected     = "Failover target rejected psync request"
	)
	for name, test := range map[string]struct {
		info, psync, answer, outcome string
		force                        bool
	}{
		"it has all":                    {info(synced), asked, accepts, "", false},
		"it refuses":                    {info(synced), asked, rejects, rejected, false},
		"it is loading":                 {info(synced), asked, "-LOADING Redis is loading the dataset in memory\r\n", rejected, false},
		"it has taken over already":     {info(promoted), plain, accepts, "", false},
		"the same, forced":              {info(promoted), plain, accepts, "", true},
		"the same, but it refuses":      {info(promoted), plain, "-NOMASTERLINK Can't SYNC while failing over\r\n", "", false},
		"it is behind":                  {info(behind), "", "", errLacks.Error(), false},
		"it is behind, forced":          {info(behind), asked, "+FULLRESYNC " + idB + " 90\r\n", "", true},
		"it has another history":        {info(other), "", "", errLacks.Error(), false},
		"it was restarted empty":        {info(emptied), "", "", errLacks.Error(), false},
		"it was restarted, forced":      {info(emptied), asked, rejects, rejected, true},
		"it does not say":               {"-NOPERM no\r\n", asked, accepts, "", false},
		"it does not say, and refuses":  {"-NOPERM no\r\n", asked, rejects, rejected, false},
		"it says something else":        {"+hm\r\n", asked, accepts, "", false},
		"it wants a snapshot to be had": {info(synced), asked, "+FULLRESYNC " + idB + " 100\r\n", "", false},
	} {
		synctest.Test(t, func(t *testing.T) {
			t.Log(name)
			outcome := make(chan error, 9)
			m := newFake(t, FollowOptions{ReplID: idA, Offset: 100, HandOver: &HandOver{Force: test.force, Done: func(err error) { outcome <- err }}})
			require.Equal(t, "INFO replication", m.introduced())
			m.send(test.info)
			if test.psync != "" {
				require.Equal(t, test.psync, m.read())
				m.send(test.answer)
			}
			err := <-outcome
			if test.outcome == "" {
				require.NoError(t, err)
			} else {
				require.EqualError(t, err, test.outcome)
			}
			m.conn.Close()
			require.Equal(t, "PSYNC", m.introduced()[:5], "it is over: the next attempt is an ordinary one")
			require.Empty(t, outcome)
		})
	}
}

// An answer that does not come decides nothing. The replica is asked again: by then it may be the master.
func TestHandOverWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, handOverWithoutAnAnswer)
}

func handOverWithoutAnAnswer(t *testing.T) {
	outcome := make(chan error, 9)
	m := newFake(t, FollowOptions{ReplID: idA, Offset: 100, HandOver: &HandOver{Done: func(err error) { outcome <- err }}})
	require.Equal(t, "INFO replication", m.introduced())
	m.conn.Close()
	require.Equal(t, "INFO replication", m.introduced())
	m.send(info("role:slave\r\nmaster_replid:" + idA + "\r\nmaster_repl_offset:100\r\n"))
	require.Equal(t, "PSYNC "+idA+" 101 FAILOVER", m.read())
	m.conn.Close()
	require.Equal(t, "INFO replication", m.introduced())
	require.Empty(t, outcome)
	m.send(info("role:master\r\nmaster_replid:" + idB + "\r\nmaster_replid2:" + idA + "\r\nsecond_repl_offset:101\r\n"))
	require.Equal(t, "PSYNC "+idA+" 101", m.read())
	m.send("+CONTINUE " + idB + "\r\n")
	require.NoError(t, <-outcome)
	m.expect("continue b")
}
