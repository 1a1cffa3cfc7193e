package server

import (
	"context"
	"os"
)

// shutdownState is how far the server's end has come.
type shutdownState struct {
	begun bool
	done  chan struct{}
	code  int
}

// Done is closed when the server has shut down.
func (s *Server) Done() <-chan struct{} {
	s.lock()
	defer s.unlock()
	return s.doneLocked()
}

func (s *Server) doneLocked() chan struct{} {
	if s.down.done == nil {
		s.down.done = make(chan struct{})
	}
	return s.down.done
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
	s.lock()
	if s.down.begun {
		done := s.doneLocked()
		s.unlock()
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.down.begun = true
	s.logf(LevelWarning, "User requested shutdown...")
	s.unlock()
	if err := s.finalSave(mode); err != nil && !mode.Force {
		s.logf(LevelWarning, "Error trying to save the DB, can't exit.")
		s.lock()
		s.down.begun = false
		s.unlock()
		return err
	}
	s.lock()
	close(s.stop)
	for _, ln := range s.listeners {
		ln.Close()
	}
	if s.cfg.UnixSocket != "" {
		os.Remove(s.cfg.UnixSocket)
	}
	for _, c := range s.clients {
		s.closeClient(c, closeAfterReply)
	}
	s.unlock()
	s.drain(ctx)
	s.lock()
	s.logf(LevelWarning, "Redis is now ready to exit, bye bye...")
	close(s.doneLocked())
	s.unlock()
	return nil
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
	s.lock()
	for _, c := range s.clients {
		s.closeClient(c, closeNow)
	}
	s.unlock()
	<-served
}
