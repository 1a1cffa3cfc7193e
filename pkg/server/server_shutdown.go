package server

import (
	"context"
	"errors"
	"os"
	"strings"

	"byor/pkg/engine"
	"byor/pkg/persist"
)

// shutdownState is how far the server's end has come.
type shutdownState struct {
	begun  bool
	abort  bool // SHUTDOWN ABORT came while replicas were waited for
	closed bool // the listeners are, the sessions are told to end
	done   chan struct{}
	code   int
}

// Done is closed when the server has shut down.
func (s *Server) Done() <-chan struct{} {
	s.eng.Enter()
	defer s.eng.Unlock()
	return s.doneLocked()
}

func (s *Server) doneLocked() chan struct{} {
	if s.down.done == nil {
		s.down.done = make(chan struct{})
	}
	return s.down.done
}

// Stopping reports whether the end is certain: sessions that end from now on end with the server.
func (s *Server) Stopping() bool {
	s.eng.Enter()
	defer s.eng.Unlock()
	return s.down.closed
}

// ShutdownMode says what a shutdown does about the data.
type ShutdownMode struct {
	Save, NoSave bool // regardless of the save points
	Now          bool // do not wait for replicas
	Force        bool // go on where saving fails
}

// Shutdown ends the server as SIGTERM ends Redis: it stops accepting, lets the commands that are
// running finish and their replies leave, makes the files safe, and closes the connections. When
// saving fails it returns the error and the server goes on as before, unless Force is set.
func (s *Server) Shutdown(ctx context.Context, mode ShutdownMode) error {
	if mode.NoSave { // a script that takes long is not waited for: nothing of it is kept
		s.eng.Enter()
		mode.Now = mode.Now || s.eng.Busy() != ""
		s.eng.Abandon()
	} else {
		s.eng.Lock()
	}
	if s.down.begun {
		done := s.doneLocked()
		s.eng.Unlock()
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.down.begun = true
	s.logf(levelWarning, "User requested shutdown...")
	if err := s.prepareEnd(ctx, mode); err != nil {
		s.down.begun, s.down.abort = false, false
		s.eng.LetGo()
		s.eng.Unlock()
		return err
	}
	// The lock was held since the data were saved: a write that is acknowledged after that would be lost.
	close(s.stop)
	s.endHandshakes()
	s.down.closed = true
	if s.following != nil {
		s.following.stop()
	}
	for _, ln := range s.listeners {
		ln.Close()
	}
	for _, c := range s.clients {
		s.closeClient(c, closeAfterReply)
	}
	for _, l := range s.loops {
		l.wake()
	}
	s.eng.LetGo()
	s.eng.Unlock()
	s.drain(ctx)
	s.eng.Lock()
	s.files.Close()
	s.removePidFile()
	s.logf(levelWarning, "Redis is now ready to exit, bye bye...")
	s.migrations.Close()
	close(s.doneLocked())
	s.eng.Unlock()
	return nil
}

var errShutdownAborted = errors.New("the shutdown was aborted")

// prepareEnd waits for the replicas and saves. When it returns an error, the server goes on as before.
// The engine's lock must be held; it is let go while replicas are waited for.
func (s *Server) prepareEnd(ctx context.Context, mode ShutdownMode) error {
	s.boss.Stopping()
	if !mode.Now {
		s.awaitReplicas(ctx)
	}
	var err error
	if s.down.abort {
		err = errShutdownAborted
		s.logf(levelNotice, "Shutdown manually aborted.")
	} else if err = s.files.FinalSave(persist.End{Save: mode.Save, NoSave: mode.NoSave, Force: mode.Force}); err != nil && mode.Force {
		err = nil
	} else if err != nil {
		s.logf(levelWarning, "Error trying to save the DB, can't exit.")
		s.boss.Status("Error trying to save the DB, can't exit.")
	}
	if err != nil {
		s.eng.SetPause(engine.ByShutdown, engine.Pause{})
	}
	return err
}

// drain waits until every connection has been served to its end, or cuts off those that do not end
// before ctx does.
func (s *Server) drain(ctx context.Context) {
	s.listening.Wait()
	served := make(chan struct{})
	go func() { s.serving.Wait(); close(served) }()
	select {
	case <-served:
		return
	case <-ctx.Done():
	}
	s.eng.Lock()
	for _, c := range s.clients {
		s.closeClient(c, closeNow)
	}
	s.eng.Unlock()
	<-served
}

// ExitCode returns what the process should exit with once Done is closed.
func (s *Server) ExitCode() int {
	s.eng.Lock()
	defer s.eng.Unlock()
	return s.down.code
}

// ShutdownOn shuts down as a signal demands, by the shutdown-on-sigint and -sigterm parameters.
func (s *Server) ShutdownOn(ctx context.Context, sig os.Signal) error {
	s.eng.Lock()
	name, words := "SIGTERM", s.cfg.ShutdownOnSigterm
	if sig == os.Interrupt {
		name, words = "SIGINT", s.cfg.ShutdownOnSigint
	}
	s.eng.Unlock()
	s.logf(levelWarning, "Received %s scheduling shutdown...", name)
	var mode ShutdownMode
	for _, w := range strings.Fields(words) {
		mode.add(w)
	}
	return s.Shutdown(ctx, mode)
}

// add sets the option that a word of SHUTDOWN names and reports whether there is such an option.
func (m *ShutdownMode) add(word string) bool {
	switch strings.ToLower(word) {
	case "default":
	case "save":
		m.Save = true
	case "nosave":
		m.NoSave = true
	case "now":
		m.Now = true
	case "force":
		m.Force = true
	default:
		return false
	}
	return true
}
