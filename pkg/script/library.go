package script

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"byor/pkg/resp"

	lua "github.com/yuin/gopher-lua"
)

// Libraries of functions. A library is a script that is run once, when it is loaded, and registers functions meanwhile;
// what is kept, saved and replicated is its source. All libraries live in one state of Lua, and none can change what another
// finds there.

// library is a library of functions.
type library struct {
	name, source string
	functions    map[string]*libFunction
}

// libFunction is a function that FCALL can call.
type libFunction struct {
	name        string
	description *string
	flags       flags
	code        *lua.LFunction
}

// libraries is a set of libraries in which no name stands twice.
type libraries struct {
	byName    map[string]*library
	functions map[string]*libFunction // of all of them, by their names in lower case
}

func newLibraries() libraries {
	return libraries{map[string]*library{}, map[string]*libFunction{}}
}

func (ls libraries) clone() libraries {
	return libraries{maps.Clone(ls.byName), maps.Clone(ls.functions)}
}

func (ls libraries) function(name []byte) *libFunction {
	return ls.functions[strings.ToLower(string(name))]
}

// remove takes a library out, if it is there.
func (ls libraries) remove(name string) {
	l := ls.byName[name]
	if l == nil {
		return
	}
	for _, f := range l.functions {
		if key := strings.ToLower(f.name); ls.functions[key] == f {
			delete(ls.functions, key)
		}
	}
	delete(ls.byName, name)
}

// add adds a library and returns what stands against it: then the set is as it was.
func (ls libraries) add(l *library, replace bool) error {
	if ls.byName[l.name] != nil {
		if !replace {
			return errors.New("Library '" + l.name + "' already exists")
		}
	}
	old := ls.byName[l.name]
	for _, name := range slices.Sorted(maps.Keys(l.functions)) {
		if f := ls.function([]byte(name)); f != nil && (old == nil || old.functions[f.name] != f) {
			return errors.New("Function " + name + " already exists")
		}
	}
	ls.remove(l.name)
	ls.byName[l.name] = l
	for _, f := range l.functions {
		ls.functions[strings.ToLower(f.name)] = f
	}
	return nil
}

// names returns the names of the libraries, in order.
func (ls libraries) names() []string { return slices.Sorted(maps.Keys(ls.byName)) }

// Libraries returns the sources of all libraries.
func (s *scripts) Libraries() []string {
	var sources []string
	for _, name := range s.libs.names() {
		sources = append(sources, s.libs.byName[name].source)
	}
	return sources
}

// Replace makes these sources all the libraries there are. On an error nothing has changed.
func (s *scripts) Replace(sources []string) error { return s.load(newLibraries(), sources, false) }

// Add adds these sources to the libraries there are. With replace they take the place of libraries of the same names.
// On an error nothing has changed.
func (s *scripts) Add(sources []string, replace bool) error {
	return s.load(s.libs.clone(), sources, replace)
}

// load adds sources to libs, and makes that all the libraries there are.
func (s *scripts) load(libs libraries, sources []string, replace bool) error {
	for _, source := range sources {
		if _, err := s.loadInto(libs, source, replace, 0); err != nil {
			return err
		}
	}
	s.libs = libs
	return nil
}

// loadPatience is how long a library may take to register its functions, when a client brings it.
const loadPatience = 500 * time.Millisecond

// loadInto compiles a library, lets it register its functions, and adds it to the set. patience is how long
// that may take, 0 for ever. On an error the set is as it was.
func (s *scripts) loadInto(libs libraries, source string, replace bool, patience time.Duration) (name string, err error) {
	engine, name, code, err := metadata(source)
	switch {
	case err != nil:
		return "", err
	case !isLibraryName(name):
		return "", errBadName
	case !strings.EqualFold(engine, "lua"):
		return "", errors.New("Engine '" + engine + "' not found")
	case libs.byName[name] != nil && !replace:
		return "", errors.New("Library '" + name + "' already exists")
	}
	l := &library{name: name, source: source, functions: map[string]*libFunction{}}
	if err := s.register(l, code, patience); err != nil {
		return "", err
	}
	if len(l.functions) == 0 {
		return "", errors.New("No functions registered")
	}
	return name, libs.add(l, replace)
}

var errBadName = errors.New("Library names can only contain letters, numbers, or underscores(_) and must be at least one character long")

func isLibraryName(name string) bool {
	for _, ch := range []byte(name) {
		if ch != '_' && (ch < '0' || ch > '9') && (ch|0x20 < 'a' || ch|0x20 > 'z') {
			return false
		}
	}
	return name != ""
}

// metadata reads the first line of a library: "#!lua name=…". code is the rest, with the line's end.
func metadata(source string) (engine, name, code string, err error) {
	if !strings.HasPrefix(source, "#!") {
		return "", "", "", errors.New("Missing library metadata")
	}
	end := strings.IndexByte(source, '\n')
	if end < 0 {
		return "", "", "", errors.New("Invalid library metadata")
	}
	words, ok := resp.SplitArgs([]byte(source[:end]))
	if !ok || len(words) == 0 {
		return "", "", "", errors.New("Invalid library metadata")
	}
	given := false
	for _, w := range words[1:] {
		switch {
		case len(w) < 5 || !bytes.EqualFold(w[:5], []byte("name=")):
			return "", "", "", errors.New("Invalid metadata value given: " + string(w))
		case given:
			return "", "", "", errors.New("Invalid metadata value, name argument was given multiple times")
		}
		given, name = true, string(w[5:])
	}
	if !given {
		return "", "", "", errors.New("Library name was not given")
	}
	return string(words[0][2:]), name, source[end:], nil
}

// register runs the code of a library, which registers its functions.
func (s *scripts) register(l *library, code string, patience time.Duration) error {
	if s.functions == nil {
		s.functions = newMachine(s)
		s.functions.openFunctions()
	}
	m := s.functions
	proto, err := compile("user_function", code)
	if err != nil {
		return errors.New("Error compiling function: " + err.Error())
	}
	m.beginLoad(l)
	defer m.endLoad()
	deadline, late := time.Now().Add(patience), false
	_, failed := m.call(m.load(proto), func() error {
		if late = patience > 0 && time.Now().After(deadline); late {
			return errStopped
		}
		return nil
	})
	if failed != nil {
		text, _ := m.errorText(failed.Value)
		if late {
			text = "ERR FUNCTION LOAD timeout"
		}
		return errors.New("Error registering functions: " + text)
	}
	return nil
}
