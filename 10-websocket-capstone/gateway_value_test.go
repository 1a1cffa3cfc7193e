package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"byor/pkg/resp"
)

func TestValuesAsJSON(t *testing.T) {
	for in, want := range map[string]string{
		"+OK\r\n": `"OK"`, "$3\r\na\"\x01\r\n": `"a\"\u0001"`, "$2\r\n\xff\x00\r\n": `{"b64":"/wA="}`, "$-1\r\n": `null`, "*-1\r\n": `null`,
		"_\r\n": `null`, ":9007199254740991\r\n": `9007199254740991`, ":9007199254740992\r\n": `{"int":"9007199254740992"}`,
		":-9007199254740992\r\n": `{"int":"-9007199254740992"}`, "#t\r\n": `true`, "#f\r\n": `false`, ",1.5\r\n": `1.5`, ",inf\r\n": `{"double":"inf"}`,
		",-inf\r\n": `{"double":"-inf"}`, ",nan\r\n": `{"double":"nan"}`, "(12345678901234567890\r\n": `{"int":"12345678901234567890"}`,
		"=7\r\ntxt:abc\r\n": `"abc"`, "*2\r\n:1\r\n*0\r\n": `[1,[]]`, "~2\r\n:1\r\n:2\r\n": `{"set":[1,2]}`,
		"%2\r\n:1\r\n+a\r\n*1\r\n:2\r\n_\r\n": `{"map":[[1,"a"],[[2],null]]}`,
		"*1\r\n-WRONGTYPE no\r\n":             `[{"err":{"code":"WRONGTYPE","message":"no","retry":false}}]`,
		"*1\r\n!11\r\nLOADING now\r\n":        `[{"err":{"code":"LOADING","message":"now","retry":true}}]`,
		"-no code\r\n":                        `{"err":{"code":"ERR","message":"no code","retry":false}}`,
		"$6\r\n\xe2\x82\xac\t\r\n\r\n":        `"€\t\r\n"`,
	} {
		v, err := resp.NewReader(strings.NewReader(in)).ReadValue()
		require.NoError(t, err, "%q", in)
		got := appendValue(nil, v)
		require.True(t, json.Valid(got), "%q: %s", in, got)
		require.Equal(t, want, string(got), "%q", in)
	}
}

// Bytes that go in as an argument come back as they were.
func FuzzArgument(f *testing.F) {
	f.Add([]byte("plain"))
	f.Add([]byte("\xff\x00\"\\\n\u2028"))
	f.Fuzz(func(t *testing.T, text []byte) {
		raw := appendText(nil, text)
		require.True(t, json.Valid(raw))
		back, err := argument(raw)
		require.NoError(t, err)
		require.True(t, bytes.Equal(text, back))
		_, _ = argument(json.RawMessage(text)) // must not panic
	})
}
