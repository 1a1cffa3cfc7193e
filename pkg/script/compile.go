package script

import (
	"strings"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/parse"
)

// compile makes code of a script. name is what stands in front of the line in errors: "user_script".
func compile(name, source string) (*lua.FunctionProto, error) {
	chunk, err := parse.Parse(strings.NewReader(source), name)
	if err != nil {
		return nil, err
	}
	return lua.Compile(chunk, name)
}

// chunkID is how errors call a chunk (luaO_chunkid): "=name" and "@name" are names, everything else is source.
func chunkID(name string) string {
	const room, roomForSource = 60, 43
	if name != "" && (name[0] == '=' || name[0] == '@') {
		return name[1:min(len(name), room)]
	}
	line, _, more := strings.Cut(name, "\n")
	if len(line) > roomForSource {
		line, more = line[:roomForSource], true
	}
	if more {
		line += "..."
	}
	return `[string "` + line + `"]`
}
