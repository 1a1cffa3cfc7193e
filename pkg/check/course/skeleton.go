package course

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// `make start-NN` gives a learner the step's server without its new pieces: see Piece. What stands in a
// piece becomes a mark that says what to write. The rest must compile, so that the
// old commands run from the start; what the missing piece would have used is put right by what the
// compiler says: imports without use become comments, variables without use get one.

var (
	compileErr = regexp.MustCompile(`^\S*?([^/\\]+\.go):(\d+):\d+: (.*)$`)
	unusedPkg  = regexp.MustCompile(`^"([^"]+)" imported(?: as \S+)? and not used$`)
	undefined  = regexp.MustCompile(`^undefined: (\w+)$`)
	unusedVar  = regexp.MustCompile(`^declared and not used: (\w+)$`)
)

// Start writes the skeleton of step below root to dir (work/NN) and returns the pieces that are to
// be written. It never overwrites anything.
func Start(root string, step int, dir string) ([]Piece, error) {
	if _, err := os.Stat(filepath.Join(root, dir)); err == nil {
		return nil, fmt.Errorf("%s is there already; move it away to begin anew", dir)
	}
	return Fill(root, step, dir, 0)
}

// notServer are the folders in a step's that stand beside the server.
var notServer = []string{"solutions", "bench", "ws", "service", "compat", "testdata"}

// Fill writes the server of step as it is when the pieces up to the upto-th have been written. It
// returns all pieces.
func Fill(root string, step int, dir string, upto int) ([]Piece, error) {
	pieces, err := Pieces(root, step)
	if err != nil {
		return nil, err
	}
	from := filepath.Join(root, Folders[step])
	err = filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, path)
		switch {
		case d.IsDir() && slices.Contains(notServer, rel):
			return filepath.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(root, dir, rel), 0o755)
		case strings.HasSuffix(rel, "_test.go") || strings.HasSuffix(rel, ".md") || strings.HasPrefix(rel, "Dockerfile"):
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.HasSuffix(rel, ".go") {
			text, err := Holes(string(b), pieces, upto)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			b = []byte(text)
		}
		return os.WriteFile(filepath.Join(root, dir, rel), b, 0o644)
	})
	if err != nil {
		return nil, err
	}
	return pieces, makeCompile(root, dir)
}

// makeCompile mends the skeleton in dir until the compiler takes it.
func makeCompile(root, dir string) error {
	var last string
	for range 8 {
		cmd := exec.Command("go", "build", "-gcflags=-e", "-o", os.DevNull, "./"+filepath.ToSlash(dir))
		cmd.Dir = root
		b, err := cmd.CombinedOutput()
		if err == nil {
			return exec.Command("gofmt", "-w", filepath.Join(root, dir)).Run()
		}
		if string(b) == last {
			break
		}
		last = string(b)
		if err := mend(filepath.Join(root, dir), last); err != nil {
			return err
		}
	}
	return fmt.Errorf("the skeleton in %s does not compile:\n%s", dir, last)
}

// An edit changes the text of a file at a line, counted from 0.
type edit struct {
	line int
	do   func(lines []string) []string
}

// mend changes the files below dir by what the compiler said of them.
func mend(dir, said string) error {
	edits := map[string][]edit{}
	for _, l := range strings.Split(said, "\n") {
		m := compileErr.FindStringSubmatch(strings.TrimSpace(l))
		if m == nil {
			continue
		}
		n, _ := strconv.Atoi(m[2])
		if e := mending(n-1, m[3]); e != nil {
			edits[m[1]] = append(edits[m[1]], *e)
		}
	}
	for name, list := range edits {
		path := filepath.Join(dir, name)
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		lines := strings.Split(string(b), "\n")
		// From the bottom up, so that line numbers stay right.
		sort.SliceStable(list, func(i, j int) bool { return list[i].line > list[j].line })
		for _, e := range list {
			lines = e.do(lines)
		}
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// mending returns the edit that answers one message of the compiler about a line, or nil.
func mending(line int, msg string) *edit {
	switch {
	case unusedPkg.MatchString(msg):
		return &edit{line, func(l []string) []string {
			l[line] = "\t// " + strings.TrimSpace(l[line]) + " // a piece to be written uses it"
			return l
		}}
	case unusedVar.MatchString(msg):
		name := unusedVar.FindStringSubmatch(msg)[1]
		return &edit{line, func(l []string) []string { return afterHole(l, line, "_ = "+name+" "+untilUsed) }}
	case undefined.MatchString(msg):
		return &edit{line, func(l []string) []string {
			l[line] = "// " + strings.TrimSpace(l[line]) // uses what the piece above it makes
			return l
		}}
	case msg == "missing return":
		return &edit{line, func(l []string) []string {
			return insert(l, line, "return "+zeroResults(strings.Join(l, "\n"), line+1)+" "+untilWritten)
		}}
	}
	return nil
}

// zeroResults returns zero values for the results of the function in src that ends at line, counted from 1.
func zeroResults(src string, line int) string {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "", src, parser.SkipObjectResolution)
	if err != nil {
		return ""
	}
	var values []string
	ast.Inspect(file, func(n ast.Node) bool {
		var typ *ast.FuncType
		switch f := n.(type) {
		case *ast.FuncDecl:
			typ = f.Type
		case *ast.FuncLit:
			typ = f.Type
		}
		if typ == nil || typ.Results == nil || fset.Position(n.End()).Line != line {
			return true
		}
		values = nil // an inner function that ends on the same line comes later, and counts
		for _, field := range typ.Results.List {
			for range max(1, len(field.Names)) {
				values = append(values, zeroValue(field.Type))
			}
		}
		return true
	})
	return strings.Join(values, ", ")
}

// zeroValue returns an expression for the zero value of a type.
func zeroValue(typ ast.Expr) string {
	switch t := typ.(type) {
	case *ast.StarExpr, *ast.ArrayType, *ast.MapType, *ast.FuncType, *ast.ChanType, *ast.InterfaceType:
		if a, ok := typ.(*ast.ArrayType); !ok || a.Len == nil {
			return "nil"
		}
	case *ast.Ident:
		switch {
		case t.Name == "error" || t.Name == "any":
			return "nil"
		case t.Name == "string":
			return `""`
		case t.Name == "bool":
			return "false"
		case strings.HasPrefix(t.Name, "int") || strings.HasPrefix(t.Name, "uint") || strings.HasPrefix(t.Name, "float") || t.Name == "byte":
			return "0"
		}
	}
	return "*new(" + types.ExprString(typ) + ")"
}

// afterHole inserts text below the first hole at or below line.
func afterHole(l []string, line int, text string) []string {
	for i := line; i < len(l); i++ {
		if mark.MatchString(l[i]) {
			return insert(l, i+1, text)
		}
	}
	return l
}

func insert(l []string, at int, text string) []string {
	return append(l[:at:at], append([]string{text}, l[at:]...)...)
}
