package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"byor/pkg/config"
)

// --completion prints a script for a shell. It is made of the tables of parameters, so a parameter that is new is
// completed, too. The scripts complete the names of options, the words that an option takes, and files.

// completed is an option with what may follow it.
type completed struct {
	name, meaning string
	words         []string // of which the value is one
	path          bool     // the value is a path
	only          bool     // it stands alone, and nothing follows but the value
}

// completions lists all options.
func completions() []completed {
	list := []completed{
		{name: "help", meaning: "print a help text and exit", only: true}, {name: "version", meaning: "print the version and exit", only: true},
		{name: "health", meaning: "ask a server whether it serves", path: true, only: true},
		{name: "completion", meaning: "print what makes a shell complete", words: shells, only: true},
		{name: "trace", meaning: "print every byte and what it means", only: true},
		{name: "fast-path", meaning: "leave parts of the fast path out, to compare", words: []string{"clock=no", "touch=no", "wait=no"}},
	}
	for _, p := range config.Params() {
		if !p.OnlyDefault() {
			list = append(list, completed{name: p.Name, meaning: config.Meaning(p.Name), words: p.Words, path: p.IsPath()})
		}
	}
	for _, s := range gatewaySettings {
		c := completed{name: s.Name, meaning: s.Help}
		if s.Default == "yes" || s.Default == "no" {
			c.words = []string{"yes", "no"}
		}
		list = append(list, c)
	}
	return list
}

var shells = []string{"bash", "zsh", "fish"}

// completion prints the script for a shell and returns the exit code.
func completion(w io.Writer, args []string) int {
	write := map[string]func(io.Writer, string, []completed){"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}
	if len(args) != 1 || write[args[0]] == nil {
		fmt.Fprintf(os.Stderr, "--completion takes one of %s.\n", strings.Join(shells, ", "))
		return 1
	}
	write[args[0]](w, strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe"), completions())
	return 0
}

// optionNames returns the options with their dashes, those for which keep says so.
func optionNames(list []completed, keep func(completed) bool) []string {
	var names []string
	for _, c := range list {
		if keep(c) {
			names = append(names, "--"+c.name)
		}
	}
	return names
}

// byWords groups options that take the same words, in order.
func byWords(list []completed) (values []string, options map[string][]string) {
	options = map[string][]string{}
	for _, c := range list {
		key := strings.Join(c.words, " ")
		if key == "" {
			continue
		}
		if options[key] == nil {
			values = append(values, key)
		}
		options[key] = append(options[key], "--"+c.name)
	}
	slices.Sort(values)
	return values, options
}

func bashCompletion(w io.Writer, program string, list []completed) {
	all := func(completed) bool { return true }
	fmt.Fprintf(w, `# bash completion for %[1]s. Load it with: source <(%[1]s --completion bash)
_byor_capstone() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
	COMPREPLY=()
	case $before in
`, program)
	values, options := byWords(list)
	for _, v := range values {
		fmt.Fprintf(w, "\t%s)\n\t\tCOMPREPLY=($(compgen -W '%s' -- \"$word\")); return ;;\n", strings.Join(options[v], "|"), v)
	}
	paths := optionNames(list, func(c completed) bool { return c.path })
	rest := optionNames(list, func(c completed) bool { return !c.only && !c.path && c.words == nil })
	fmt.Fprintf(w, `	%s)
		compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
	%s)
		return ;;
	esac
	if [[ $word == -* ]]; then
		COMPREPLY=($(compgen -W '%s' -- "$word"))
	elif [[ $COMP_CWORD == 1 ]]; then
		compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word")
	fi
}
complete -F _byor_capstone %s
`, strings.Join(paths, "|"), strings.Join(rest, "|"), strings.Join(optionNames(list, all), " "), program)
}

// quoted is for words between single quotes, where zsh and fish know one escape each.
func quoted(text, quote string) string { return strings.ReplaceAll(text, "'", quote) }

func zshCompletion(w io.Writer, program string, list []completed) {
	fmt.Fprintf(w, "#compdef %[1]s\n# zsh completion for %[1]s. Put it into a directory of $fpath as _%[1]s, or load it with:\n"+
		"# source <(%[1]s --completion zsh)\n_byor_capstone() {\n\t_arguments \\\n", program)
	special := strings.NewReplacer("[", `\[`, "]", `\]`, ":", `\:`)
	for _, c := range list {
		meaning := c.meaning
		if meaning == "" {
			meaning = "as in redis.conf"
		}
		action := ":value: "
		switch {
		case c.path:
			action = ":path:_files"
		case c.words != nil:
			action = ":value:(" + strings.Join(c.words, " ") + ")"
		case c.only:
			action = ""
		}
		fmt.Fprintf(w, "\t\t'--%s[%s]%s' \\\n", c.name, quoted(special.Replace(meaning), `'\''`), action)
	}
	fmt.Fprintf(w, "\t\t'1:redis.conf:_files'\n}\n"+
		"if [ \"$funcstack[1]\" = \"_%[1]s\" ]; then _byor_capstone \"$@\"; else compdef _byor_capstone %[1]s; fi\n", program)
}

func fishCompletion(w io.Writer, program string, list []completed) {
	fmt.Fprintf(w, "# fish completion for %[1]s. Load it with: %[1]s --completion fish | source\n", program)
	for _, c := range list {
		fmt.Fprintf(w, "complete -c %s -l %s", program, c.name)
		switch {
		case c.path:
			fmt.Fprint(w, " -r -F")
		case c.words != nil:
			fmt.Fprintf(w, " -x -a '%s'", strings.Join(c.words, " "))
		case !c.only:
			fmt.Fprint(w, " -x")
		}
		if c.meaning != "" {
			fmt.Fprintf(w, " -d '%s'", quoted(c.meaning, `\'`))
		}
		fmt.Fprintln(w)
	}
}
