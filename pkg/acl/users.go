package acl

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Users are all users by name. There is always one called default.
type Users struct {
	cmds *Commands
	all  map[string]*User
}

// NewUsers returns the users that a server begins with: default.
func NewUsers(cs *Commands) *Users {
	return &Users{cmds: cs, all: map[string]*User{DefaultName: cs.NewDefault()}}
}

// Commands returns what the rights are about.
func (us *Users) Commands() *Commands { return us.cmds }

// Default returns the user of all who have not logged in. It is the same as long as Users is.
func (us *Users) Default() *User { return us.all[DefaultName] }

// Find returns the user with a name, or nil.
func (us *Users) Find(name string) *User { return us.all[name] }

// Add adds a user.
func (us *Users) Add(u *User) { us.all[u.Name] = u }

// Remove removes a user.
func (us *Users) Remove(name string) { delete(us.all, name) }

// Sorted returns all users by name.
func (us *Users) Sorted() []*User {
	list := make([]*User, 0, len(us.all))
	for _, name := range slices.Sorted(maps.Keys(us.all)) {
		list = append(list, us.all[name])
	}
	return list
}

// Text returns the content of an ACL file.
func (us *Users) Text() string {
	var b strings.Builder
	for _, u := range us.Sorted() {
		b.WriteString(u.Line() + "\n")
	}
	return b.String()
}

// Load makes the users of an ACL file all there are, or changes nothing and says what is wrong with the file, in
// Redis's words. The default user stays the same one with other rights. removed are those who were users before: also
// one whose name stands in the file is another user.
func (us *Users) Load(path, text string) (removed []*User, err error) {
	fresh := &Users{cmds: us.cmds, all: map[string]*User{}}
	var wrong strings.Builder
	for i, line := range strings.Split(text, "\n") {
		if line = strings.Trim(line, " \t\r\n"); line != "" {
			wrong.WriteString(fresh.loadLine(fmt.Sprintf("%s:%d", path, i+1), i+1, line))
		}
	}
	if wrong.Len() > 0 {
		return nil, fmt.Errorf("%sWARNING: ACL errors detected, no change to the previously active ACL rules was performed", wrong.String())
	}
	def := us.Default()
	for name, u := range us.all {
		if name != DefaultName {
			removed = append(removed, u)
		}
	}
	next := fresh.Find(DefaultName)
	if next == nil {
		next = us.cmds.NewDefault()
	}
	def.Become(next)
	us.all = fresh.all
	us.all[DefaultName] = def
	return removed, nil
}

// loadLine obeys a line and returns what is wrong with it, "" for nothing.
func (us *Users) loadLine(where string, number int, line string) string {
	words := strings.Split(line, " ")
	if words[0] != "user" || len(words) < 2 {
		return where + " should start with user keyword followed by the username. "
	}
	name := words[1]
	if !ValidName(name) {
		return fmt.Sprintf("'%s: username '%s' contains invalid characters. ", where, name)
	}
	if us.all[name] != nil {
		return fmt.Sprintf("WARNING: Duplicate user '%s' found on line %d. ", name, number)
	}
	u := us.cmds.NewUser(name)
	us.all[name] = u
	rules, err := Merge(words[2:])
	if err != nil {
		return where + ": Unmatched parenthesis in selector definition. "
	}
	wrong, told := "", false
	for _, rule := range rules {
		rule = strings.Trim(rule, "\t\r\n")
		switch err := u.Apply(rule); {
		case err == ErrUnknown:
			wrong += fmt.Sprintf("%s: Error in applying operation '%s': %s. ", where, rule, err)
		case err != nil && !told: // it may hold a password
			wrong += where + ": " + err.Error() + ". "
			told = true
		}
	}
	return wrong
}
