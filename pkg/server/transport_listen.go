package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"byor/pkg/config"
)

// The sockets that the server opens itself, and that CONFIG SET port and bind move.

// listenTCP opens a socket for each address. One that starts with "-" may be missing, as in Redis.
func listenTCP(c *config.Config) ([]net.Listener, error) {
	if c.Port == 0 {
		return nil, nil
	}
	var lns []net.Listener
	for _, host := range c.Bind {
		optional := strings.HasPrefix(host, "-")
		host = strings.TrimPrefix(host, "-")
		if host == "" { // all addresses, to net.Listen
			closeAll(lns)
			return nil, errors.New("an address to listen on is empty")
		}
		network := "tcp"
		if host == "*" {
			host, network = "", "tcp4"
		} else if host == "::*" {
			host, network = "::", "tcp6"
		}
		ln, err := net.Listen(network, net.JoinHostPort(host, strconv.FormatInt(c.Port, 10)))
		if err != nil && optional {
			continue
		}
		if err != nil {
			closeAll(lns)
			return nil, fmt.Errorf("Could not create server TCP listening socket %s:%d: %w", host, c.Port, err) //nolint:staticcheck // Redis's words
		}
		setQueue(ln, c.TCPBacklog)
		lns = append(lns, ln)
	}
	if len(lns) == 0 && len(c.Bind) > 0 {
		return nil, errors.New("no address to listen on")
	}
	return lns, nil
}

// listenUnix opens the socket file, where the configuration names one.
func listenUnix(c *config.Config) ([]net.Listener, error) {
	if c.UnixSocket == "" {
		return nil, nil
	}
	path := c.InDir(c.UnixSocket)
	os.Remove(path)
	ln, err := net.Listen("unix", path) // which removes it when it is closed
	if err != nil {
		return nil, fmt.Errorf("Failed opening Unix socket: %w", err) //nolint:staticcheck // Redis's words
	}
	if c.UnixSocketPerm != 0 {
		os.Chmod(path, os.FileMode(c.UnixSocketPerm))
	}
	return []net.Listener{ln}, nil
}

func closeAll(lns []net.Listener) {
	for _, ln := range lns {
		ln.Close()
	}
}

// listen opens the sockets that the configuration names and serves them in the background.
func (s *Server) listen() error {
	tcp, err := listenTCP(s.cfg)
	if err != nil {
		return err
	}
	unix, err := listenUnix(s.cfg)
	if err == nil {
		err = s.startLoops(int(s.cfg.IOThreads))
	}
	if err != nil {
		closeAll(tcp)
		return err
	}
	s.eng.Lock()
	s.tcp = tcp
	s.eng.Unlock()
	for _, ln := range append(unix, tcp...) {
		go s.Serve(ln)
	}
	return nil
}

// moveListeners opens the sockets of the new port or addresses and closes the old ones; who is connected
// stays. When the new cannot be opened, the old stay as they are. The engine's lock must be held.
func (s *Server) moveListeners(before *config.Config) error {
	samePort, sameBind := s.cfg.Port == before.Port, slices.Equal(s.cfg.Bind, before.Bind)
	if samePort && sameBind || s.down.begun {
		return nil
	}
	old := s.tcp
	if samePort { // an address may be in both lists
		closeAll(old)
	}
	lns, err := listenTCP(s.cfg)
	if err != nil {
		s.logf(levelWarning, "%v", err)
		if samePort {
			if lns, err := listenTCP(before); err == nil {
				s.replaceListeners(old, lns)
			}
			return configFailure{"bind", "Failed to bind to specified addresses."}
		}
		return configFailure{"port", "Unable to listen on this port. Check server logs."}
	}
	closeAll(old)
	s.replaceListeners(old, lns)
	return nil
}

func (s *Server) replaceListeners(old, lns []net.Listener) {
	s.listeners = slices.DeleteFunc(s.listeners, func(ln net.Listener) bool { return slices.Contains(old, ln) })
	s.tcp = lns
	for _, ln := range lns {
		go s.Serve(ln)
	}
}

// configFailure says which parameter of a CONFIG SET could not be carried out, and why.
type configFailure struct{ param, reason string }

func (e configFailure) Error() string { return e.reason }

// fewDescriptors is the parameter maxclients refused: the system allows fewer.
func (s *Server) fewDescriptors(before *config.Config) error {
	if s.cfg.MaxClients <= before.MaxClients {
		return nil
	}
	if most, known := mostDescriptors(); known && s.cfg.MaxClients > most-reservedDescriptors {
		return configFailure{"maxclients", "The operating system is not able to handle the specified number of clients, try with " +
			itoa(most-reservedDescriptors)}
	}
	return nil
}

// reservedDescriptors are for files, listeners and links, as in Redis.
const reservedDescriptors = 32
