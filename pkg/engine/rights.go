package engine

// Rights. Most users may do everything, and cost nothing: their sessions are not in ModeRestricted. About the others
// the engine asks whoever knows users, in one place before a command is executed (refusal), and again where a command
// comes that was not the client's request itself: in EXEC, as rights may have changed since it was queued, and
// in a script.

// Rights is what the engine has to know of what users may do. It is asked about sessions in ModeRestricted.
type Rights interface {
	// Forbids returns why the user may not run the command, in the words that fit where it is to run (the session's
	// mode says that), or "". It notes what was denied.
	Forbids(c *Session, cmd *Command, args [][]byte) string
	// Allows reports whether the user may run the command. It notes nothing.
	Allows(c *Session, cmd *Command, args [][]byte) bool
	// ReadsAnyKey reports whether the user may, with the command that runs, read keys that it does not name.
	ReadsAnyKey(c *Session) bool
}

// Forbidden is Rights.Forbids for any session.
func (c *Session) Forbidden(cmd *Command, args [][]byte) string {
	if !c.Has(ModeRestricted) {
		return ""
	}
	return c.e.world.Forbids(c, cmd, args)
}

// May reports whether the user whose command it is may run another one.
func (c *Call) May(cmd *Command, args [][]byte) bool {
	return !c.c.Has(ModeRestricted) || c.e.world.Allows(c.c, cmd, args)
}

// ReadsAnyKey reports whether the command may read keys that it does not name.
func (c *Call) ReadsAnyKey() bool { return !c.c.Has(ModeRestricted) || c.e.world.ReadsAnyKey(c.c) }

// Forbids returns why the user whose script it is may not run the command, or "".
func (in *Inner) Forbids(cmd *Command, args [][]byte) string { return in.c.Forbidden(cmd, args) }
