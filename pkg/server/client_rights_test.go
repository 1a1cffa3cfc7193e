package server

import (
	"byor/pkg/redistest"
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"byor/pkg/acl"
	"byor/pkg/config"
	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// onBoth runs a test on this server and on a real one.
func onBoth(t *testing.T, test func(t *testing.T, addr string, ours bool)) {
	t.Run("ours", func(t *testing.T) { test(t, second(startServer(t)), true) })
	t.Run("Redis", func(t *testing.T) { test(t, startRedis(t), false) })
}

// Whoever is a user no more is cut off, whatever the session was doing; who deletes itself hears the reply.
func TestSessionsOfADeletedUserEnd(t *testing.T) {
	onBoth(t, func(t *testing.T, addr string, ours bool) {
		admin := dial(t, addr)
		admin.want("ACL SETUSER bob on nopass +@all ~* &*", "+OK")
		as := func(lines ...string) *testConn {
			c := dial(t, addr)
			c.want("AUTH bob x", "+OK")
			for _, line := range lines {
				c.do(line)
			}
			return c
		}
		idle, subscriber, queueing, monitor, waiting := as(), as("SUBSCRIBE c"), as("WATCH k", "MULTI", "SET k 1"), as("MONITOR"), as()
		waiting.send("BLPOP", "q", "0")
		eventually(t, admin, "INFO clients", "blocked_clients:1")
		other := dial(t, addr)
		admin.want("ACL DELUSER bob nobody", ":1")
		for _, c := range []*testConn{idle, subscriber, queueing, waiting} {
			c.wantClosed()
		}
		for { // a monitor has seen commands before its end
			monitor.conn.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := monitor.rd.ReadValue(); err != nil {
				require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
				break
			}
		}
		admin.want("RPUSH q 1", ":1")
		admin.want("LLEN q", ":1")
		other.want("AUTH bob x", "-WRONGPASS invalid username-password pair or user is disabled.")
		other.want("PING", "+PONG")

		admin.want("ACL SETUSER bob on nopass +@all ~* &*", "+OK")
		own := as()
		own.want("ACL DELUSER bob", ":1")
		own.wantClosed()
		if ours { // Redis 7.0 cuts EXEC's reply off behind the command
			admin.want("ACL SETUSER bob on nopass +@all ~* &*", "+OK")
			own := as("MULTI", "ACL DELUSER bob", "PING")
			own.want("EXEC", "*[:1 +PONG]")
			own.wantClosed()
		}
	})
}

// A subscriber stays as long as the user may hear all that it is subscribed to.
func TestSubscribersWhoLoseAChannelAreCutOff(t *testing.T) {
	onBoth(t, func(t *testing.T, addr string, ours bool) {
		admin := dial(t, addr)
		admin.want("ACL SETUSER bob on nopass +@all ~* &*", "+OK")
		as := func(lines ...string) *testConn {
			c := dial(t, addr)
			c.want("AUTH bob x", "+OK")
			for _, line := range lines {
				c.do(line)
			}
			return c
		}
		channel, pattern, sharded, idle := as("SUBSCRIBE x1"), as("PSUBSCRIBE p*"), as("SSUBSCRIBE s"), as()
		stranger := dial(t, addr)
		stranger.do("SUBSCRIBE x1")
		own := as("HELLO 3", "SUBSCRIBE x1")
		stay := func(cs ...*testConn) {
			for _, c := range cs {
				require.Contains(t, show(c.do("PING")), "ong", "still there")
			}
		}
		admin.want("ACL SETUSER bob resetchannels &x* &p* &s", "+OK")
		stay(channel, pattern, sharded)
		admin.want("ACL SETUSER bob resetchannels &x* &p?* (&s)", "+OK")
		pattern.wantClosed()
		stay(channel, sharded)
		admin.want("ACL SETUSER bob clearselectors", "+OK")
		sharded.wantClosed()
		stay(channel)
		if ours { // Redis 7.0 frees the client whose command runs, and may end by that
			own.send("ACL", "SETUSER", "bob", "resetchannels", "&x2")
			own.wantClosed()
		} else {
			admin.want("ACL SETUSER bob resetchannels &x2", "+OK")
		}
		channel.wantClosed()
		require.Equal(t, "+PONG", show(idle.do("PING")))
		stranger.do("PING")
	})
}

// The rights hold on every way in.
func TestRightsOnEveryTransport(t *testing.T) {
	for name, connect := range map[string]func(t *testing.T) *testConn{
		"loop":      func(t *testing.T) *testConn { return dial(t, second(startServer(t, "--io-threads", "2"))) },
		"goroutine": func(t *testing.T) *testConn { return dial(t, second(startServer(t, "--io-threads", "0"))) },
		"unix socket": func(t *testing.T) *testConn {
			path := filepath.Join(shortDir(t), "s")
			s, _ := startServer(t, "--unixsocket", path)
			ln, err := net.Listen("unix", path)
			require.NoError(t, err)
			go s.Serve(ln)
			conn, err := net.Dial("unix", path)
			require.NoError(t, err)
			t.Cleanup(func() { conn.Close() })
			return over(t, conn)
		},
		"pipe": func(t *testing.T) *testConn {
			s, _ := startServer(t)
			ours, theirs := net.Pipe()
			go s.ServeConn(theirs)
			t.Cleanup(func() { ours.Close() })
			return over(t, ours)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := connect(t)
			c.want("SET k v", "+OK")
			c.want("ACL SETUSER bob on >pw +get ~k", "+OK")
			c.want("AUTH bob pw", "+OK")
			c.want("GET k", `"v"`)
			c.want("GET z", "-NOPERM this user has no permissions to access one of the keys used as arguments")
			c.want("SET k w", "-NOPERM this user has no permissions to run the 'set' command")
			pipeline := resp.AppendCommandStrings(nil, "GET", "k")
			pipeline = resp.AppendCommandStrings(pipeline, "SET", "k", "x")
			_, err := c.conn.Write(resp.AppendCommandStrings(pipeline, "GET", "k"))
			require.NoError(t, err)
			require.Equal(t, `"v"`, show(c.read()))
			require.True(t, c.read().IsError())
			require.Equal(t, `"v"`, show(c.read()))
		})
	}
}

// Rules know a command by the name that it was born with.
func TestRulesAndRenamedCommands(t *testing.T) {
	c := dial(t, second(startServer(t, "--rename-command GET fetch", `--rename-command FLUSHALL ""`)))
	c.want("ACL SETUSER bob on nopass +get +flushall ~k", "+OK")
	c.want("AUTH bob x", "+OK")
	c.want("FETCH k", "$(nil)")
	c.want("FETCH z", "-NOPERM this user has no permissions to access one of the keys used as arguments")
	require.Contains(t, show(c.do("GET k")), "unknown command")
	c.want("STRLEN k", "-NOPERM this user has no permissions to run the 'strlen' command")
	c.want("AUTH default x", "+OK")
	c.want("ACL SETUSER bob +fetch", "-ERR Error in ACL SETUSER modifier '+fetch': Unknown command or category name in ACL")
}

// The link to a master and the log have no user: what default may do is nothing to them. A master's user for replicas
// needs three commands.
func TestLinkAndLogAreNotRestricted(t *testing.T) {
	_, master := startServer(t, "--user repl on >pw +psync +replconf +ping")
	m := dial(t, master)
	_, addr := startServer(t, "--user default on nopass ~k1 +get +info +acl|whoami", "--masteruser", "repl", "--masterauth", "pw", "--replicaof", hostPort(master))
	c := dial(t, addr)
	eventually(t, c, "INFO replication", "master_link_status:up")
	m.want("MSET k1 1 k2 2", "+OK")
	m.want("WAIT 1 10000", ":1")
	c.want("GET k1", `"1"`)
	c.want("GET k2", "-NOPERM this user has no permissions to access one of the keys used as arguments")
	c.want("ACL WHOAMI", `"default"`)
	require.Contains(t, show(m.do("CLIENT LIST TYPE replica")), "user=repl ")

	dir := t.TempDir()
	s, addr := startServer(t, "--appendonly", "yes", "--dir", dir)
	dial(t, addr).want("MSET k1 1 k2 2", "+OK")
	stopServer(t, s)
	_, addr = startServer(t, "--appendonly", "yes", "--dir", dir, "--user default on nopass +dbsize")
	dial(t, addr).want("DBSIZE", ":2")
}

// TestUsersInAFile lets both servers read and write the same file.
func TestUsersInAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.acl")
	write := func(text string) { require.NoError(t, os.WriteFile(file, []byte(text), 0o600)) }
	write("user default on nopass ~* &* +@all\nuser ann on >pw ~a* +@read (+set ~b)\n")
	sides := []*testConn{dial(t, second(startServer(t, "--aclfile", file))), dial(t, startRedis(t, "--aclfile", file))}
	same := func(line string) string {
		t.Helper()
		var replies []string
		for _, c := range sides {
			v := c.do(line)
			redistest.EachString(&v, redistest.SortWords)
			replies = append(replies, show(v))
		}
		require.Equal(t, replies[1], replies[0], line)
		return replies[0]
	}
	require.Contains(t, same("ACL LIST"), acl.Hash("pw"))
	same("CONFIG GET aclfile")
	for _, text := range []string{
		"useralice", "user", "user  a on", "user a +nosuch -nosuch2 foo bar", "user a on\nuser a off", `user "a b" on`, "user a &* &x", "foo\n\nbar",
		"User x on", "user b >p <q", "user b\ton", "user a #abc\nuser b +nosuch",
	} {
		write(text)
		require.Contains(t, same("ACL LOAD"), "WARNING: ACL errors detected", text)
		require.Contains(t, same("ACL LIST"), acl.Hash("pw"))
	}
	require.NoError(t, os.Remove(file))
	require.Contains(t, same("ACL LOAD"), "No such file or directory")
	for _, text := range []string{
		"", "\r\n  user b on ~y   %R~x (+get ~a*) (+set ~b)  \r\n", "user b on nopass\nuser default on nopass +@all ~x", "user b resetchannels (&* +get) +select|0 -@all >a >b",
	} {
		write(text)
		require.Equal(t, "+OK", same("ACL LOAD"), text)
		same("ACL LIST")
		same("ACL USERS")
	}
	for i, writer := range sides { // what one saves the other loads
		write("")
		require.Equal(t, "+OK", show(writer.do("ACL SETUSER ann on >pw ~a %W~b resetchannels &c +@all -config|set (~* -@all +get)")))
		require.Equal(t, "+OK", show(writer.do("ACL SAVE")))
		require.Equal(t, "+OK", same("ACL LOAD"))
		require.Contains(t, same("ACL LIST"), "ann", "written by %d", i)
	}
	left, err := os.ReadDir(filepath.Dir(file))
	require.NoError(t, err)
	require.Len(t, left, 1, "no half-written files")
}

// ACL LOAD makes all users but default new ones: the sessions of the old end.
func TestLoadingUsersEndsSessions(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.acl")
	require.NoError(t, os.WriteFile(file, []byte("user ann on nopass +@all\n"), 0o600))
	for _, addr := range []string{second(startServer(t, "--aclfile", file)), startRedis(t, "--aclfile", file)} {
		c, d := dial(t, addr), dial(t, addr)
		d.want("AUTH ann x", "+OK")
		c.want("ACL LOAD", "+OK")
		d.wantClosed()
		d = dial(t, addr)
		d.want("AUTH ann x", "+OK")
		d.want("ACL LOAD", "+OK")
		d.wantClosed()
		c.want("PING", "+PONG")
	}
}

// With users that cannot be made the server does not start, and nobody gets in meanwhile.
func TestWrongUsersEndTheStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.acl")
	require.NoError(t, os.WriteFile(file, []byte("user a nonsense\n"), 0o600))
	for reason, args := range map[string][]string{
		"Error loading ACL rule '+nosuch' for the user named 'a': Unknown command or category name in ACL": {"--user a +nosuch"},
		"Spaces not allowed in ACL usernames": {"--user 'a b' on"},
		"Configuring Redis with users defined in redis.conf and at the same setting an ACL file path is invalid.": {"--user a on", "--aclfile", file},
		"Aborting Redis startup because of ACL errors: " + file + ":1: Syntax error.":                             {"--aclfile", file},
		"Error loading ACLs, opening file '/no/such/file': No such file or directory":                             {"--aclfile", "/no/such/file"},
	} {
		cfg := config.Default()
		require.NoError(t, cfg.ParseArgs(append([]string{"--port", "0", "--save", ""}, args...)))
		s := New(cfg, Options{Log: LogTo(testLog(t))})
		require.ErrorContains(t, s.Run(context.Background()), reason)
		require.ErrorContains(t, s.Start(), reason)
		require.True(t, s.NeedsLogin())
	}
}

// What new users may hear is up to acl-pubsub-default, at the start and later.
func TestRightsOfNewUsers(t *testing.T) {
	for want, args := range map[string][]string{"resetchannels": {}, "&*": {"--acl-pubsub-default", "allchannels"}} {
		c := dial(t, second(startServer(t, append(args, "--user bob on")...)))
		c.want("ACL SETUSER ann on", "+OK")
		c.want("ACL LIST", `*["user ann on `+want+` -@all" "user bob on `+want+` -@all" "user default on nopass ~* &* +@all"]`)
	}
	c := dial(t, second(startServer(t)))
	c.want("CONFIG SET acl-pubsub-default allchannels", "+OK")
	c.want("ACL SETUSER ann on", "+OK")
	require.Contains(t, show(c.do("ACL LIST")), "user ann on &* -@all")
}

func TestLogOfDenials(t *testing.T) {
	c := dial(t, second(startServer(t, "--acllog-max-len", "2")))
	deny := func(names ...string) {
		for _, name := range names {
			require.True(t, c.do("AUTH "+name+" x").IsError())
		}
	}
	deny("a", "b", "c", "b")
	require.Len(t, c.do("ACL LOG").Elems, 2)
	c.want("CONFIG SET acllog-max-len 3", "+OK")
	deny("d", "e")
	require.Len(t, c.do("ACL LOG").Elems, 3)
	require.Contains(t, show(c.do("ACL LOG 1")), `"object" "AUTH" "username" "e"`)
}

// Each category has the commands that it has in Redis 7.0.15. Left out is what only one of the two servers knows:
// what later versions brought and clients ask for at once, and what stands in ENGINE.md as not being here
// (TestEveryCommandOfRedis).
func TestCategoriesAsRedis(t *testing.T) {
	ours, theirs := dial(t, second(startServer(t))), dial(t, startRedis(t))
	list := func(c *testConn, line string) (names []string) {
		for _, v := range c.do(line).Elems {
			names = append(names, string(v.Str))
		}
		slices.Sort(names)
		return names
	}
	without := func(names, others []string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !slices.Contains(others, name) })
	}
	here, there := list(ours, "COMMAND LIST"), list(theirs, "COMMAND LIST")
	require.Equal(t, []string{"client|no-touch", "client|setinfo"}, slices.DeleteFunc(slices.Clone(here), func(name string) bool { return slices.Contains(there, name) }))
	categories := list(theirs, "ACL CAT")
	require.Len(t, categories, 21)
	require.Equal(t, categories, list(ours, "ACL CAT"))
	for _, category := range categories {
		want := without(list(theirs, "ACL CAT "+category), here)
		require.NotEmpty(t, want, category)
		require.Equal(t, want, without(list(ours, "ACL CAT "+category), there), category)
	}
}

// Rights are put into the words that Redis 7.0.15 finds. The order of single commands is not compared: Redis has that of
// a hash table, which is another one in each process. Nor are the commands that only this server knows: they do not
// count when categories are chosen, and what a category grants too much of them is taken away again.
func TestUsersDescribedAsRedis(t *testing.T) {
	ours, theirs := dial(t, second(startServer(t))), dial(t, startRedis(t))
	describe := func(c *testConn, rules string) (categories, single []string) {
		c.want("ACL SETUSER u reset "+rules, "+OK")
		lines := c.do("ACL LIST").Elems
		i := slices.IndexFunc(lines, func(v resp.Value) bool { return strings.HasPrefix(string(v.Str), "user u ") })
		require.GreaterOrEqual(t, i, 0, rules)
		for _, word := range strings.Fields(string(lines[i].Str)) {
			switch {
			case strings.Contains(word, "@"):
				categories = append(categories, word)
			case !slices.Contains(beyond7, word[1:]):
				single = append(single, word)
			}
		}
		slices.Sort(single)
		return categories, single
	}
	users := []string{
		"+client", "+hello +client", "+hello +client +auth", "+hello +client +select", "+config +acl", "+config +acl +slowlog", "+client|list +client|id",
		"+@all -client", "+@all -client -hello", "+@all -client -hello -auth -select -quit -reset -ping -echo", "+@all -@connection +client",
		"+@slow -client", "+@slow -client|list", "+@connection -client", "+@connection -client|list", "+@connection -client|list -client|id", "+@admin -config +@read",
	}
	for _, category := range acl.Categories {
		users = append(users, "+@"+category, "+@all -@"+category, "+@"+category+" +client +hello")
	}
	for _, rules := range users {
		wantCategories, wantSingle := describe(theirs, rules)
		categories, single := describe(ours, rules)
		require.Equal(t, wantCategories, categories, rules)
		require.Equal(t, wantSingle, single, rules)
	}
	for rules, want := range map[string]string{
		"+@connection": "+OK", "+hello +client": "+OK", "+@connection -client": "\"This user has no permissions to run the 'client|setinfo' command\"",
	} {
		ours.want("ACL SETUSER u reset "+rules, "+OK")
		ours.want("ACL DRYRUN u CLIENT SETINFO LIB-NAME x", want)
	}
}

// A replica logs in at its master as a user: ours at a real one, and a real one here.
func TestUserOfALinkToARealOne(t *testing.T) {
	t.Parallel()
	const user = "user repl on >pw +psync +replconf +ping"
	_, ours := startServer(t, "--"+user)
	theirs := startRedis(t, "--user", "repl", "on", ">pw", "+psync", "+replconf", "+ping")
	link := func(master string) []string {
		return []string{"--masteruser", "repl", "--masterauth", "pw", "--replicaof", hostPort(master)}
	}
	for master, replica := range map[string]string{ours: startRedis(t, link(ours)...), theirs: second(startServer(t, link(theirs)...))} {
		m, r := dial(t, master), dial(t, replica)
		m.want("SET k v", "+OK")
		eventually(t, r, "INFO replication", "master_link_status:up")
		m.want("WAIT 1 60000", ":1")
		r.want("GET k", `"v"`)
		require.Contains(t, show(m.do("CLIENT LIST TYPE replica")), "user=repl ")
		r.want("CONFIG SET masterauth wrong", "+OK")
		m.want("CLIENT KILL TYPE replica", ":1")
		eventually(t, m, "ACL LOG", `"reason" "auth"`)
		r.want("CONFIG SET masterauth pw", "+OK")
		eventually(t, r, "INFO replication", "master_link_status:up")
	}
}
