// Package acl is what users may do: Redis's access control lists. A user has passwords and rights to commands, keys
// and channels, which are described by rules such as "+@read -config|set ~cache:* %R~app:* &news.*". The package
// understands rules, puts rights into words again, decides whether they cover a command, and has the text of an ACL
// file and the log of what was denied. It knows no sessions and no server: those ask it.
//
// Rights to commands are kept as Redis keeps them: not as the rules that were given but as a set of commands, to which
// each rule adds or from which it takes. So ACL LIST shows rules that make the same set (describe.go), and a
// category means the commands that it had when the rule was given.
//
// Nothing here is safe for concurrent use: the server's lock guards it.
package acl
