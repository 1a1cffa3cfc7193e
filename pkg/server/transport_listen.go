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

// door is a TCP port of the server's, and its sockets, one for each address. Guarded by the engine's lock.
type door struct {
	param string // which names the port
	port  func(c *config.Config) int64
	tls   bool
	lns   []net.Listener
}

// newDoors returns the ports that a server may have.
func newDoors() [2]door {
	return [2]door{
		{param: "port", port: func(c *config.Config) int64 { return c.Port }},
		{param: "tls-port", port: func(c *config.Config) int64 { return c.TLSPort }, tls: true},
	}
}

// listenTCP opens a socket for each address. One that starts with "-" may be missing, as in Redis.
func listenTCP(c *config.Config, port int64) ([]net.Listener, error) {
	if port == 0 {
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
		ln, err := net.Listen(network, net.JoinHostPort(host, strconv.FormatInt(port, 10)))
		if err != nil && optional {
			continue
		}
		if err != nil {
			closeAll(lns)
			return nil, fmt.Errorf("Could not create server TCP listening socket %s:%d: %w", host, port, err) //nolint:staticcheck // Redis's words
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
	var opened [len(s.doors)][]net.Listener
	var err error
	for i := range s.doors {
		if err == nil {
			opened[i], err = listenTCP(s.cfg, s.doors[i].port(s.cfg))
		}
	}
	var unix []net.Listener
	if err == nil {
		unix, err = listenUnix(s.cfg)
	}
	if err == nil {
		err = s.startLoops(int(s.cfg.IOThreads))
	}
	if err != nil {
		for _, lns := range opened {
			closeAll(lns)
		}
		return err
	}
	for _, ln := range unix {
		go s.Serve(ln)
	}
	s.eng.Lock()
	defer s.eng.Unlock()
	for i := range s.doors {
		s.open(&s.doors[i], opened[i])
	}
	return nil
}

// moveListeners opens the sockets of the new ports or addresses and closes the old ones; who is connected
// stays. When the new cannot be opened, the old stay as they are. The engine's lock must be held.
func (s *Server) moveListeners(before *config.Config) error {
	for i := range s.doors {
		if err := s.moveDoor(&s.doors[i], before); err != nil {
			s.moveBack(before, s.doors[:i])
			return err
		}
	}
	return nil
}

// moveBack takes what moveListeners did to doors back.
func (s *Server) moveBack(before *config.Config, doors []door) {
	now := *s.cfg
	s.cfg.Port, s.cfg.TLSPort, s.cfg.Bind = before.Port, before.TLSPort, before.Bind
	for i := range doors {
		_ = s.moveDoor(&doors[i], &now) // it is what worked a moment ago; if not, the log says so
	}
}

func (s *Server) moveDoor(d *door, before *config.Config) error {
	port, was := d.port(s.cfg), d.port(before)
	if port == was && slices.Equal(s.cfg.Bind, before.Bind) || s.down.begun {
		return nil
	}
	old := d.lns
	if port == was { // an address may be in both lists
		closeAll(old)
	}
	lns, err := listenTCP(s.cfg, port)
	if err != nil {
		s.logf(levelWarning, "%v", err)
		if port == was {
			if lns, err := listenTCP(before, was); err == nil {
				s.open(d, lns)
			}
			return configFailure{"bind", "Failed to bind to specified addresses."}
		}
		return configFailure{d.param, "Unable to listen on this port. Check server logs."}
	}
	closeAll(old)
	s.open(d, lns)
	return nil
}

// open lets lns take the place of the door's sockets.
func (s *Server) open(d *door, lns []net.Listener) {
	s.listeners = slices.DeleteFunc(s.listeners, func(ln net.Listener) bool { return slices.Contains(d.lns, ln) })
	d.lns = lns
	for _, ln := range lns {
		go s.serve(ln, d.tls)
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
