package script

import (
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/ast"
)

// compile makes code of a script. name is what stands in front of the line in errors: "user_script".
func compile(name, source string) (*lua.FunctionProto, error) {
	chunk, vars, err := parse(name, source)
	if err != nil {
		return nil, err
	}
	p, err := generate(chunk, name)
	if err != nil {
		return nil, err
	}
	tidy(p, vars)
	return p, nil
}

// generate runs gopher-lua's compiler. What it can't compile it refuses in words of its own, or panics.
func generate(chunk []ast.Stmt, name string) (p *lua.FunctionProto, err error) {
	defer func() {
		if r := recover(); r != nil {
			p, err = nil, syntaxError(fmt.Sprintf("%s:1: internal error: %v", name, r))
		}
	}()
	if p, err = lua.Compile(chunk, name); err != nil {
		err = syntaxError(fmt.Sprintf("%s:1: function or expression too complex (%s)", name, err))
	}
	return p, err
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
