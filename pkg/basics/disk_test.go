package basics

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"byor/pkg/rdb"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// counting is a lock that calls at, with the lock held, when it is taken for the nth time.
type counting struct {
	n  int
	at func(n int)
}

func (c *counting) Lock()   { c.n++; c.at(c.n) }
func (c *counting) Unlock() {}

func storeWith(t *testing.T, lines ...string) *store.Store {
	data := store.New(16)
	data.SetNow(nowMs)
	for _, line := range lines {
		reply, _ := do(data.DB(0), line)
		require.NotContains(t, reply, "-", line)
	}
	return data
}

func TestDumpShowsTheMoment(t *testing.T) {
	dir := t.TempDir()
	data := storeWith(t, "SET a 1", "SET gone 1")
	for i := range 1000 {
		data.DB(3).SetString([]byte{byte(i), byte(i >> 8)}, []byte("v"), false)
	}
	d := beginDump(data)
	lock := &counting{at: func(int) { // at each piece, before it is encoded
		do(data.DB(0), "SET a 2")
		do(data.DB(0), "DEL gone")
		do(data.DB(0), "SET new 1")
	}}
	require.NoError(t, d.Save(dir, lock))
	require.Greater(t, lock.n, 2, "encoded in pieces")
	d.Close()
	d.Close()

	loaded := store.New(16)
	loaded.SetNow(nowMs)
	require.NoError(t, loadDump(dir, loaded))
	require.Equal(t, 1000, loaded.DB(3).Len())
	for line, want := range map[string]string{"GET a": "$1\r\n1", "GET gone": "$1\r\n1", "GET new": "$-1"} {
		got, _ := do(loaded.DB(0), line)
		require.Equal(t, want, got, line)
	}
	require.NoError(t, loadDump(t.TempDir(), loaded), "no snapshot is no error")
}

// A dump that is given up at whatever moment never takes the place of the file that is there.
func TestDumpGivenUp(t *testing.T) {
	count := &counting{at: func(int) {}}
	data := storeWith(t, "SET a 1")
	d := beginDump(data)
	require.NoError(t, d.Save(t.TempDir(), count))
	d.Close()
	for n := range count.n {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, dumpFile), []byte("newer"), 0o644))
		d := beginDump(data)
		err := d.Save(dir, &counting{at: func(i int) {
			if i == n+1 {
				d.Close()
			}
		}})
		require.ErrorIs(t, err, ErrEnded, "at %d", n)
		b, err := os.ReadFile(filepath.Join(dir, dumpFile))
		require.NoError(t, err)
		require.Equal(t, "newer", string(b), "at %d", n)
		names, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, names, 1, "and leaves no temporary file")
	}
}

func TestLoadRefusesOtherTypes(t *testing.T) {
	data := store.New(1)
	l := store.NewList()
	l.PushTail([]byte("x"))
	data.DB(0).Set([]byte("l"), l)
	var b bytes.Buffer
	require.NoError(t, rdb.Save(&b, data))
	err := LoadRDB(rdb.NewReader(&b), store.New(1))
	require.ErrorContains(t, err, `key "l" is of type list`)
}

func TestOpenLog(t *testing.T) {
	dir := t.TempDir()
	open := func(policy string) (*store.Store, error) {
		data := store.New(16)
		data.SetNow(nowMs)
		w := resp.NewWriter(nil)
		log, err := openLog(dir, policy, data, rdbBase(data), w, func(args [][]byte) {
			h, ok := handlers[string(bytes.ToLower(args[0]))]
			if !ok {
				w.Error(UnknownCommand(args).Error())
				return
			}
			h(data.DB(0), w, args)
		})
		if err == nil {
			log.Append(resp.AppendCommandStrings(nil, "INCR", "n"))
			log.Append(resp.AppendCommandStrings(nil, "PEXPIREAT", "n", "1")) // long ago
			require.NoError(t, log.Close())
		}
		return data, err
	}
	data, err := open("always")
	require.NoError(t, err)
	require.Zero(t, data.DB(0).Len())
	data, err = open("no")
	require.NoError(t, err)
	require.Equal(t, 1, data.DB(0).Len(), "kept while loading")
	require.Equal(t, store.DeleteExpired, data.Expiry, "as before")

	_, err = open("sometimes")
	require.ErrorContains(t, err, "sometimes")
	incr, err := filepath.Glob(filepath.Join(dir, "appendonlydir", "*.incr.aof"))
	require.NoError(t, err)
	require.Len(t, incr, 1)
	b, err := os.ReadFile(incr[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(incr[0], resp.AppendCommandStrings(b, "WHAT"), 0o644))
	_, err = open("no")
	require.ErrorContains(t, err, "unknown command 'WHAT'")
}
