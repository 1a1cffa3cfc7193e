package check_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// mayImport says which packages of ours each package may import, directly or not. The arrows run one way: whoever
// reads a package need not know those that import it.
var mayImport = map[string]string{
	"acl": "pubsub resp", "resp": "", "store": "", "pubsub": "", "version": "", "lzf": "", "supervise": "", "collector": "", "certs": "",
	"aof": "resp", "rdb": "lzf store", "repl": "resp", "migrate": "resp",
	"engine":     "store resp pubsub",
	"commands":   "engine store resp pubsub rdb lzf",
	"introspect": "engine store resp pubsub rdb lzf",
	"config":     "acl certs engine store resp pubsub",
	"script":     "acl certs config engine store resp pubsub rdb lzf",
	"persist":    "acl certs aof config engine introspect lzf pubsub rdb resp store",
	"users":      "acl certs config engine introspect lzf pubsub rdb resp store",
	"logs":       "acl certs config engine store resp pubsub",
	"tracking":   "engine store resp pubsub",
	"queue":      "resp",
	"history":    "engine store resp pubsub",
	"server":     "acl certs config logs introspect persist tracking history users commands engine aof rdb lzf migrate repl store resp pubsub supervise collector",
	"basics":     "aof rdb lzf pubsub repl resp store version",
}

// TestImportsRunOneWay asks go list for all that each package depends on.
func TestImportsRunOneWay(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.Module.Path}} {{.ImportPath}} {{join .Deps " "}}`, "../...").Output()
	require.NoError(t, err)
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		words := strings.Fields(line)
		module := words[0] + "/pkg/"
		name := strings.TrimPrefix(words[1], module)
		top, _, _ := strings.Cut(name, "/")
		if top == "check" || top == "redistest" || name == "server/diff" || strings.Contains(name, "/cmd/") || words[1]+"/" == module { // tools and tests: nothing of the server imports them
			continue
		}
		may, known := mayImport[name]
		require.True(t, known, "what may pkg/%s import?", name)
		for _, dep := range words[2:] {
			ours, isOurs := strings.CutPrefix(dep, module)
			host, _, _ := strings.Cut(dep, "/")
			switch {
			case isOurs && !slices.Contains(strings.Fields(may), ours):
				t.Errorf("pkg/%s imports pkg/%s", name, ours)
			case name == "script" && strings.HasPrefix(dep, "github.com/yuin/gopher-lua"): // the language is not what is taught here
			case !isOurs && strings.Contains(host, "."):
				t.Errorf("pkg/%s depends on %s, which is neither ours nor Go's", name, dep)
			}
		}
	}
}
