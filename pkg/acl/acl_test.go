package acl

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// few are some commands, with a container, and one for strangers.
func few() *Commands {
	return NewCommands(func() []Command {
		return []Command{
			{Name: "set", Categories: []string{"write", "string", "slow"}}, {Name: "get", Categories: []string{"read", "string", "fast"}},
			{Name: "mget", Categories: []string{"read", "string", "fast"}}, {Name: "del", Categories: []string{"write", "keyspace", "slow"}},
			{Name: "config|set", Categories: []string{"admin", "dangerous", "slow"}}, {Name: "config", Categories: []string{"slow"}},
			{Name: "config|get", Categories: []string{"admin", "dangerous", "slow"}}, {Name: "select", Categories: []string{"fast", "connection"}},
			{Name: "auth", Categories: []string{"fast", "connection"}, NoAuth: true}, {Name: "publish", Categories: []string{"pubsub", "fast"}},
		}
	})
}

func userOf(t testing.TB, cs *Commands, rules string) *User {
	t.Helper()
	u := cs.NewUser("u")
	require.NoError(t, u.Set(strings.Fields(rules)), rules)
	return u
}

// ask is "get a %R~b &c": a command, keys with their access and channels.
func ask(cs *Commands, text string) *Request {
	words := strings.Fields(text)
	r := &Request{Command: cs.ID(words[0])}
	for i, w := range words[1:] {
		if i == 0 {
			r.FirstArg = []byte(w)
		}
		if name, ok := strings.CutPrefix(w, "&"); ok {
			pattern, isPattern := strings.CutPrefix(name, "&")
			r.Channels = append(r.Channels, Channel{[]byte(pattern), i + 1, isPattern})
		} else if letters, name, ok := strings.Cut(w, "~"); ok {
			k := Key{Name: []byte(name), At: i + 1}
			if strings.Contains(letters, "R") {
				k.Access |= Read
			}
			if strings.Contains(letters, "W") {
				k.Access |= Write
			}
			r.Keys = append(r.Keys, k)
		}
	}
	return r
}

func TestCheck(t *testing.T) {
	cs := few()
	for _, tc := range []struct {
		rules, ask string
		what       Denial
		at         int
	}{
		{"", "get R~a", DeniedCommand, 0}, {"", "auth x", Granted, 0}, {"", "nosuch", DeniedCommand, 0}, {"+@all", "nosuch", Granted, 0}, {"+@all -get", "nosuch", Granted, 0},
		{"+get", "get R~a", DeniedKey, 1}, {"+get ~a*", "get R~abc", Granted, 0}, {"+get ~a*", "get R~b", DeniedKey, 1}, {"+get %R~a", "get R~a", Granted, 0}, {"+set %R~a", "set W~a", DeniedKey, 1},
		{"+set %R~a", "set RW~a", DeniedKey, 1}, {"+set %W~a %R~a", "set RW~a", Granted, 0}, {"+set %W~a* %R~*a", "set RW~a", DeniedKey, 1}, {"+del %R~a", "del ~a", Granted, 0}, {"+del ~b", "del ~a", DeniedKey, 1},
		{"+mget ~a", "mget R~a R~b R~c", DeniedKey, 2}, {"allkeys +@read", "mget R~a R~b", Granted, 0}, {"allkeys +@read -@string", "get R~a", DeniedCommand, 0},
		{"+config|get", "config|get", Granted, 0}, {"+config|get", "config|set", DeniedCommand, 0}, {"+config -config|set", "config|set", DeniedCommand, 0}, {"+config -config|set", "config|get", Granted, 0},
		{"+select|0 +select|A", "select 0", Granted, 0}, {"+select|0 +select|A", "select a", Granted, 0}, {"+select|0", "select 1", DeniedCommand, 0}, {"+select|0", "select", DeniedCommand, 0}, {"+select|0 -select", "select 0", DeniedCommand, 0},
		{"+publish", "publish &c", DeniedChannel, 1}, {"+publish &c*", "publish &cd", Granted, 0}, {"+publish &c*", "publish &&cd", DeniedChannel, 1}, {"+publish &c*", "publish &&c*", Granted, 0}, {"+publish &*", "publish &&x*", Granted, 0},
		{"+get ~a (+set ~b)", "set W~a", DeniedKey, 1}, {"+get ~a (+set ~b)", "set W~b", Granted, 0}, {"+get ~a (+set ~b)", "del W~b", DeniedCommand, 0}, {"+mget ~a (+mget ~a ~b)", "mget R~a R~b R~c", DeniedKey, 3},
		{"+publish ~x (+publish &y)", "publish &x", DeniedChannel, 1}, {"+get ~a (+set ~b) clearselectors", "set W~b", DeniedCommand, 0}, {"+@all ~* &* reset", "get R~a", DeniedCommand, 0},
	} {
		what, at := userOf(t, cs, tc.rules).Check(ask(cs, tc.ask))
		require.Equal(t, []any{tc.what, tc.at}, []any{what, at}, "%q: %q", tc.rules, tc.ask)
	}
}

// What is said of a user makes the same user again.
func TestDescribe(t *testing.T) {
	cs := few()
	for rules, want := range map[string]string{
		"":                               "off resetchannels -@all",
		"on nopass +@all ~* &*":          "on nopass ~* &* +@all",
		"+@all -config|set":              "off resetchannels +@all -config|set",
		"+@read ~a %R~b %W~c &d":         "off ~a %R~b %W~c resetchannels &d -@all +@read",
		"+config|get +config|set":        "off resetchannels -@all +@admin",
		"+config":                        "off resetchannels -@all +@admin +config",
		"+@all -@dangerous -config":      "off resetchannels +@all -@admin -config",
		"+select|1 +select|0":            "off resetchannels -@all +select|1 +select|0",
		"+select|1 (~x +get) (&* +@all)": "off resetchannels -@all +select|1 (~x resetchannels -@all +get) (&* +@all)",
		"skip-sanitize-payload >x reset": "off sanitize-payload resetchannels -@all",
	} {
		got := userOf(t, cs, rules).Describe()
		require.Equal(t, want, got, rules)
		require.Equal(t, want, userOf(t, cs, "reset resetchannels "+got).describeUnsaid(want), rules)
	}
}

// Commands that Redis 7.0 does not know tip no balance, but the words hold for them, too.
func TestNewerCommandsDoNotCount(t *testing.T) {
	cs := NewCommands(func() []Command {
		list := []Command{{Name: "c"}, {Name: "d", Categories: []string{"fast"}}, {Name: "e", Categories: []string{"fast"}}}
		for _, sub := range []string{"c|new", "c|newer"} {
			list = append(list, Command{Name: sub, Categories: []string{"fast"}, Newer: true})
		}
		return list
	})
	for rules, want := range map[string]string{
		"+c": "-@all +c", "+c +d": "-@all +c +d", "+@fast": "-@all +@fast", "+d +e": "-@all +@fast -c|new -c|newer", "+@all -c": "+@all -c", "+c|new": "-@all +c|new",
	} {
		require.Equal(t, "off resetchannels "+want, userOf(t, cs, rules).Describe(), rules)
		require.Equal(t, want, userOf(t, cs, want).Selectors()[0].Commands, rules)
	}
}

// describeUnsaid is Describe without what reset says of payloads, unless want has it.
func (u *User) describeUnsaid(want string) string {
	if !strings.Contains(want, "sanitize-payload") {
		u.sanitize = sanitizeUnsaid
	}
	return u.Describe()
}

func TestSetIsAllOrNothing(t *testing.T) {
	u := userOf(t, few(), "on >a ~x +get")
	before := u.Describe()
	var wrong *RuleError
	require.ErrorAs(t, u.Set([]string{"off", ">b", "+set", "resetkeys", "(+get)", "nonsense"}), &wrong)
	require.Equal(t, "nonsense", wrong.Rule)
	require.ErrorIs(t, wrong, ErrSyntax)
	var open *OpenError
	require.ErrorAs(t, u.Set([]string{"off", "(+get", "~a"}), &open)
	require.Equal(t, before, u.Describe())
}

func TestPasswords(t *testing.T) {
	cs := few()
	u := userOf(t, cs, "on >one >two")
	for _, p := range []string{"one", "two"} {
		require.True(t, u.Admits([]byte(p)))
	}
	for _, p := range []string{"", "three", Hash("one")} {
		require.False(t, u.Admits([]byte(p)))
	}
	require.NoError(t, u.Set([]string{"<one", "!" + Hash("two")}))
	require.False(t, u.Admits([]byte("one")))
	require.NoError(t, u.Set([]string{"nopass"}))
	require.True(t, u.Admits([]byte("anything")))
	require.NoError(t, u.Set([]string{"off"}))
	require.False(t, u.Admits([]byte("anything")))
}

func TestUnrestricted(t *testing.T) {
	cs := few()
	require.True(t, cs.NewDefault().Unrestricted())
	for rules, want := range map[string]bool{
		"+@all ~* &*": true, "+@all ~*": false, "+@all &* ~x": false, "+@all ~* &* -get": false, "+@all ~* &* -get +get": false, "+@all ~* &* -get +@all": true,
		"(+@all ~* &*)": true, "+@all (~* &*)": false,
	} {
		require.Equal(t, want, userOf(t, cs, rules).Unrestricted(), rules)
	}
}

// As long as all rules are about all commands, nobody asks which there are.
func TestCommandsAreNotAskedForUnneeded(t *testing.T) {
	cs := NewCommands(func() []Command { t.Fatal("asked"); return nil })
	us := NewUsers(cs)
	u := userOf(t, cs, "on nopass +@all ~x")
	us.Add(u)
	require.Equal(t, "user default on nopass ~* &* +@all\nuser u on nopass ~x resetchannels +@all\n", us.Text())
	require.True(t, us.Default().Unrestricted())
}

func TestFile(t *testing.T) {
	us := NewUsers(few())
	old := us.cmds.NewUser("old")
	us.Add(old)
	def := us.Default()
	removed, err := us.Load("f", "user a on >p ~x (+get ~y)\r\n\n  user b off \nuser default on nopass +@all")
	require.NoError(t, err)
	require.Equal(t, []*User{old}, removed)
	require.Same(t, def, us.Default())
	text := us.Text()
	require.Equal(t, "user a on #"+Hash("p")+" ~x resetchannels -@all (~y resetchannels -@all +get)\nuser b off resetchannels -@all\nuser default on nopass resetchannels +@all\n", text)
	for wrong, reason := range map[string]string{
		"user a\nuser a on": "WARNING: Duplicate user 'a' found on line 2. ", "usr a": "f:1 should start with user keyword followed by the username. ",
		"\nuser a +nosuch x <y -nosuch": "f:2: Error in applying operation '+nosuch': Unknown command or category name in ACL. f:2: Syntax error. f:2: Error in applying operation '-nosuch': Unknown command or category name in ACL. ",
		"user a (+get":                  "f:1: Unmatched parenthesis in selector definition. ", "user a\tb on": "'f:1: username 'a\tb' contains invalid characters. ",
	} {
		_, err := us.Load("f", wrong)
		require.EqualError(t, err, reason+"WARNING: ACL errors detected, no change to the previously active ACL rules was performed", wrong)
		require.Equal(t, text, us.Text())
	}
	_, err = us.Load("f", text)
	require.NoError(t, err)
	require.Equal(t, text, us.Text())
	_, err = us.Load("f", "")
	require.NoError(t, err)
	require.Equal(t, "user default on nopass ~* &* +@all\n", us.Text())
}

func TestChannelsThatAreLost(t *testing.T) {
	cs := few()
	for _, tc := range []struct {
		before, after string
		loses         bool
	}{
		{"&a", "&a &b", false}, {"&a &b", "&a", true}, {"&*", "&a", true}, {"&a", "&*", false}, {"&a", "(&a)", false}, {"&a (&b)", "&b &a", false}, {"&a (&*)", "&a", true}, {"", "", false},
	} {
		require.Equal(t, tc.loses, userOf(t, cs, tc.before).LosesChannels(userOf(t, cs, tc.after)), tc)
	}
	u := userOf(t, cs, "&a* (&b)")
	for name, want := range map[string]bool{"ab": true, "b": true, "c": false} {
		require.Equal(t, want, u.HearsChannel(name, false), name)
	}
	require.True(t, u.HearsChannel("a*", true))
	require.False(t, u.HearsChannel("ab", true))
}

func TestLogMerges(t *testing.T) {
	var l Log
	at := int64(1_000_000)
	add := func(object string, limit int64) {
		at += 1000
		l.Add(Entry{What: DeniedKey, Context: "toplevel", Object: object, User: "u", AtMs: at, Client: strconv.FormatInt(at, 10)}, limit)
	}
	objects := func() (list []string) {
		for _, e := range l.Latest(100) {
			list = append(list, e.Object+strconv.FormatInt(e.Count, 10))
		}
		return list
	}
	for _, o := range []string{"a", "b", "a", "c"} {
		add(o, 10)
	}
	require.Equal(t, []string{"c1", "a2", "b1"}, objects())
	require.Equal(t, "1003000", l.Latest(2)[1].Client)
	at += 60_001 // too long ago
	add("a", 10)
	require.Equal(t, []string{"a1", "c1", "a2", "b1"}, objects())
	add("d", 2)
	require.Equal(t, []string{"d1", "a1"}, objects())
	for i := range 10 {
		add("x"+strconv.Itoa(i), 100)
	}
	add("d", 100) // the eleventh: too far down
	require.Len(t, l.Latest(100), 13)
	require.Empty(t, l.Latest(-1))
	add("e", 0)
	require.Empty(t, objects())
}

// Whatever rules are given, what is said of the user makes a user who may do the same.
func FuzzDescribe(f *testing.F) {
	for _, seed := range []string{"+@all -@string +select|0 ~a* %R~b &c", "+config -config|set (+get ~x) (&* -@read)", "nopass >a #b <a !b", "(+get\x00 'x y' ~z)", "resetkeys % %RW~x ~ & ()"} {
		f.Add(seed)
	}
	cs := few()
	f.Fuzz(func(t *testing.T, text string) {
		u := cs.NewUser("u")
		for _, rule := range strings.Split(text, " ") {
			before := u.Describe()
			if u.Apply(rule) != nil {
				require.Equal(t, before, u.Describe(), "a rule that is refused changes nothing")
			}
		}
		again := cs.NewUser("u")
		text = u.Describe()
		require.NoError(t, again.Set(strings.Split(text, " ")), text)
		require.Equal(t, text, again.Describe())
		for id := range cs.list() {
			a, b := &Request{Command: id, FirstArg: []byte("0")}, &Request{Command: id}
			for _, r := range []*Request{a, b} {
				wantWhat, wantAt := u.Check(r)
				what, at := again.Check(r)
				require.Equal(t, wantWhat, what, text)
				require.Equal(t, wantAt, at, text)
			}
		}
	})
}
