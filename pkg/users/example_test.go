package users_test

import (
	"fmt"
	"iter"
	"strings"

	"byor/pkg/config"
	"byor/pkg/engine"
	"byor/pkg/pubsub"
	"byor/pkg/users"
)

// house is what is around: the users' Host and the engine's World, of which commands without data ask little.
type house struct {
	engine.World
	users *users.Accounts
	guest guest
}

func (h *house) Forbids(c *engine.Session, cmd *engine.Command, args [][]byte) string {
	return h.users.Forbids(c, cmd, args)
}

func (h *house) Refuses(*engine.Session, *engine.Command, engine.Flag) string { return "" }

func (h *house) Notice(format string, args ...any) { fmt.Printf("log: "+format+"\n", args...) }

func (h *house) Logins() iter.Seq[*users.Login] {
	return func(yield func(*users.Login) bool) { yield(&h.guest.login) }
}

func (h *house) End(_ *engine.Session, afterReply bool) { fmt.Println("goodbye", afterReply) }

// guest is a session, and the peer of it.
type guest struct {
	engine.Peer
	session engine.Session
	login   users.Login
}

func (g *guest) Login() *users.Login    { return &g.login }
func (g *guest) Deliver(pubsub.Message) {}
func (g *guest) Describe() string       { return "a guest" }

// A user who may ask two things, as long as there is such a user.
func Example() {
	cfg := config.Default()
	cfg.Users = []config.UserLine{{Name: "bob", Rules: []string{"on", ">secret", "+acl|whoami", "+acl|deluser"}}}
	var h house
	e := engine.New(1, engine.Table(), nil, &h)
	h.users = users.New(e, cfg, &h)
	g := &h.guest
	e.Init(&g.session, g)

	e.Lock()
	defer e.Unlock()
	e.Running = &g.session
	g.login.Begin(h.users, &g.session)
	fmt.Println(g.login.Try([]byte("bob"), []byte("secret")))
	for _, line := range []string{"ACL WHOAMI", "ACL LIST", "ACL DELUSER bob", "ACL USERS"} {
		var args [][]byte
		for _, word := range strings.Fields(line) {
			args = append(args, []byte(word))
		}
		e.Execute(&g.session, args)
		fmt.Printf("%q\n", g.session.Reply.Buf)
		g.session.Reply.Buf = nil
	}
	// Output:
	// true
	// "$3\r\nbob\r\n"
	// "-NOPERM this user has no permissions to run the 'acl|list' command\r\n"
	// goodbye true
	// ":1\r\n"
	// "*1\r\n$7\r\ndefault\r\n"
}
