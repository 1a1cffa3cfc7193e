package basics

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"byor/pkg/pubsub"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// stepClient is a client as a step has it: ours, and something of its own.
type stepClient struct {
	Client
	mu    sync.Mutex
	table Table[*stepClient]
	asked int
}

func newStepClient(t *testing.T) *stepClient {
	c := &stepClient{}
	data := store.New(16)
	data.SetNow(nowMs)
	c.Client = Client{DB: data.DB(0), W: resp.NewWriter(nil), Disk: NewDisk(&Options{Dir: t.TempDir()}, &c.mu, data)}
	c.table = Extend(Table[*stepClient]{
		"mine": {Arity: 1, Run: func(c *stepClient, _ [][]byte) ([][]byte, error) { c.asked++; c.W.OK(); return nil, nil }},
		"echo": {Arity: 2, Run: func(c *stepClient, _ [][]byte) ([][]byte, error) { c.W.BulkString("mine"); return nil, nil }},
	}, OnData, OnDisk, OnChannels)
	return c
}

func (c *stepClient) execute(args [][]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cmd, err := c.table.Find(c, args)
	if err == nil {
		_, err = cmd.Run(c, args)
	}
	if err != nil {
		c.W.Error(err.Error())
	}
}

// serves sends input and returns all replies, and after how many bytes of them each reply was sent.
func (c *stepClient) serves(input string) (out string, sent []int) {
	c.Serve(strings.NewReader(input), c.execute, func() error {
		out += string(c.W.Buf)
		c.W.Buf = c.W.Buf[:0]
		sent = append(sent, len(out))
		return nil
	})
	return out, sent
}

func TestExtend(t *testing.T) {
	c := newStepClient(t)
	out, _ := c.serves("MINE\r\nECHO x\r\nPING\r\nPING hi\r\nSET a 1\r\nSELECT 1\r\nGET a\r\nSELECT 99\r\nSELECT x\r\nDBSIZE\r\nCOMMAND DOCS\r\n")
	require.Equal(t, "+OK\r\n$4\r\nmine\r\n+PONG\r\n$2\r\nhi\r\n+OK\r\n+OK\r\n$-1\r\n-ERR DB index is out of range\r\n"+
		notInteger+"\r\n:0\r\n*0\r\n", out)
	require.Equal(t, 1, c.asked)
	require.NotContains(t, OnData, "mine", "the known table stays as it is")
	require.True(t, c.table["set"].Has('w'))
	require.False(t, c.table["get"].Has('w'))
}

func TestFind(t *testing.T) {
	c := newStepClient(t)
	for args, want := range map[string]string{
		"nope a":   "ERR unknown command 'nope', with args beginning with: 'a' ",
		"GET":      "ERR wrong number of arguments for 'get' command",
		"get a b":  "ERR wrong number of arguments for 'get' command",
		"Set a":    "ERR wrong number of arguments for 'set' command",
		"sET a 1":  "",
		"del a b":  "",
		"MINE":     "",
		"mine two": "ERR wrong number of arguments for 'mine' command",
	} {
		_, err := c.table.Find(c, bytes.Fields([]byte(args)))
		if want == "" {
			require.NoError(t, err, args)
		} else {
			require.EqualError(t, err, want)
		}
	}
	p := newPeer(t, pubsub.NewHub(), func() {})
	c.Sub = p.sub
	p.do((*Subscriber).Subscribe, "SUBSCRIBE", "news")
	p.gets("subscribe news 1")
	_, err := c.table.Find(c, [][]byte{[]byte("GET"), []byte("a")})
	require.EqualError(t, err, WhileSubscribed("get").Error())
	_, err = c.table.Find(c, [][]byte{[]byte("PING")})
	require.NoError(t, err)
	out, _ := c.serves("PING\r\n")
	require.Equal(t, "*2\r\n$4\r\npong\r\n$0\r\n\r\n", out)
	c.Sub.Leave()
}

func TestServe(t *testing.T) {
	out, sent := newStepClient(t).serves("PING\r\nPING\r\nQUIT\r\nPING\r\n")
	require.Equal(t, "+PONG\r\n+PONG\r\n+OK\r\n", out, "nothing behind QUIT")
	require.Equal(t, []int{0, len(out)}, sent, "one reply to a whole pipeline")

	out, _ = newStepClient(t).serves("PING\r\n*1\r\nx\r\nPING\r\n")
	require.Equal(t, "+PONG\r\n-ERR Protocol error: expected '$', got 'x'\r\n", out)

	big := strings.Repeat("x", maxReplies)
	_, sent = newStepClient(t).serves("PING " + big[:maxReplies/2] + "\r\n" + "PING " + big[:maxReplies/2] + "\r\nPING\r\n")
	require.Greater(t, len(sent), 2, "what piles up is sent before the pipeline is over")

	out, _ = newStepClient(t).serves("SUBSCRIBE a\r\n")
	require.Equal(t, "-ERR only a client can subscribe\r\n", out)
}

func TestSaving(t *testing.T) {
	c := newStepClient(t)
	c.mu.Lock()
	other := c.Disk.Begin()
	c.mu.Unlock()
	out, _ := c.serves("SET a 1\r\nSAVE\r\nBGSAVE\r\n")
	require.Equal(t, "+OK\r\n"+strings.Repeat("-ERR Background save already in progress\r\n", 2), out, "one picture at a time")
	c.Disk.End(other)
	c.Disk.LastSave = 0
	out, _ = c.serves("BGSAVE\r\n")
	require.Equal(t, "+Background saving started\r\n", out)
	c.Disk.Wait()
	require.Nil(t, c.Disk.Dump)
	require.NotZero(t, c.Disk.LastSave)
	loaded := store.New(16)
	require.NoError(t, loadDump(c.Disk.Dir, loaded))
	require.Equal(t, 1, loaded.DB(0).Len())

	c.Disk.LastSave, c.Disk.Dir = 0, c.Disk.Dir+"/gone"
	out, _ = c.serves("SAVE\r\nLASTSAVE\r\n")
	require.Regexp(t, `^-ERR .*\r\n:0\r\n$`, out, "a save that fails is none")
}

// What the effects make of nothing is what was there.
func TestEffects(t *testing.T) {
	data := storeWith(t, "SET a 1", "SET b 2 EX 100")
	data.DB(3).SetString([]byte("c"), []byte("\r\n"), false)
	var log []byte
	selected := -1
	for db, effect := range Effects(data) {
		log = append(log, Encode(&selected, db, effect)...)
	}
	require.Equal(t, 2, bytes.Count(log, []byte("SELECT")), "%q", log)
	again := store.New(16)
	again.SetNow(nowMs)
	db := again.DB(0)
	for r := resp.NewCommandReader(bytes.NewReader(log)); ; {
		args, err := r.ReadCommand()
		if err != nil {
			break
		}
		if string(args[0]) == "SELECT" {
			db, err = Select(again, args[1])
		} else {
			_, err = Set(db, resp.NewWriter(nil), args)
		}
		require.NoError(t, err)
	}
	for i, lines := range map[int]string{0: "GET a|GET b|PTTL b|DBSIZE", 3: "GET c|DBSIZE"} {
		for _, line := range strings.Split(lines, "|") {
			want, _ := do(data.DB(i), line)
			got, _ := do(again.DB(i), line)
			require.Equal(t, want, got, line)
		}
	}
	for range Effects(data) {
		break // who has seen enough may stop
	}
}
