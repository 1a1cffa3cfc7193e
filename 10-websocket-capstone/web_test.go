package main

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

var importLine = regexp.MustCompile(`(?m)^import .* from "\./(.+)";$`)

// A script of the page never imports one that imports it: it could see its names before they have values.
func TestScriptsImportOneWay(t *testing.T) {
	scripts, err := fs.Glob(webFiles, "web/*.js")
	require.NoError(t, err)
	imports := map[string][]string{}
	for _, s := range scripts {
		text, err := fs.ReadFile(webFiles, s)
		require.NoError(t, err)
		for _, m := range importLine.FindAllStringSubmatch(string(text), -1) {
			imports[path.Base(s)] = append(imports[path.Base(s)], m[1])
		}
	}
	require.Contains(t, imports["app.js"], "console.js")
	var follow func(way []string)
	follow = func(way []string) {
		for _, next := range imports[way[len(way)-1]] {
			require.Contains(t, scripts, "web/"+next)
			require.False(t, slices.Contains(way, next), "%v imports %s", way, next)
			follow(append(slices.Clone(way), next))
		}
	}
	for s := range imports {
		follow([]string{s})
	}
}
