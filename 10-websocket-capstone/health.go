package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"byor/pkg/certs"
	"byor/pkg/config"
	"byor/pkg/resp"
)

// --health asks a server whether it serves. It is for what starts containers: an image needs no other program to be
// watched. Healthy is a server that answers PING with PONG. One that loads its data, or cannot be logged in to, or
// takes too long, is not: an orchestrator gives a server time to start (HEALTHCHECK --start-period).

// healthTimeout is for all of it: to connect, to log in, to be answered.
const healthTimeout = 5 * time.Second

// passwordEnv is where redis-cli, too, finds a password.
const passwordEnv = "REDISCLI_AUTH"

// target is a server to be asked.
type target struct {
	network, addr  string // as for net.Dial
	user, password string
	http           string // address of /readyz, in place of the others
	tls            *tls.Config
}

// health asks the server that args name, says what it is like, and returns the exit code: 0 for one that serves, 1
// for anything else.
func health(w io.Writer, args []string) int {
	at, err := healthTarget(args)
	if err == nil {
		err = at.ask(time.Now().Add(healthTimeout))
	}
	if err != nil {
		fmt.Fprintf(w, "unhealthy: %v\n", err)
		return 1
	}
	fmt.Fprintln(w, "healthy")
	return 0
}

// healthTarget finds out whom to ask. The first argument may be an address (host:port, a port, a socket, or a URL);
// else args are a server's command line, and the server is the one that listens as that says.
func healthTarget(args []string) (target, error) {
	if len(args) == 1 {
		if at, ok, err := addressed(args[0]); ok || err != nil {
			return at, err
		}
	}
	set, err := readSettings(args, (*config.Config).ReadArgs)
	if err != nil {
		return target{}, err
	}
	at := target{password: os.Getenv(passwordEnv)}
	cfg := set.cfg
	if cfg.RequirePass != "" {
		at.password = cfg.RequirePass
	}
	switch {
	case cfg.Port != 0 && len(cfg.Bind) > 0:
		at.network, at.addr = "tcp", net.JoinHostPort(reachable(cfg.Bind[0]), strconv.FormatInt(cfg.Port, 10))
	case cfg.TLSPort != 0 && len(cfg.Bind) > 0:
		at.network, at.addr, at.tls = "tcp", net.JoinHostPort(reachable(cfg.Bind[0]), strconv.FormatInt(cfg.TLSPort, 10)), healthTLS(cfg)
	case cfg.UnixSocket != "":
		at.network, at.addr = "unix", cfg.InDir(cfg.UnixSocket)
	case set.opts.Port != 0:
		at.http, at.tls = set.opts.scheme()+"://"+net.JoinHostPort(reachable(set.opts.Bind), strconv.Itoa(set.opts.Port))+"/readyz", healthTLS(cfg)
	default:
		return target{}, errors.New("a server with these settings listens nowhere")
	}
	return at, nil
}

// healthTLS returns how the server asks itself: with its own certificate, and with trust in its own authority. Without one
// it believes whoever answers at its address, which is on this machine.
func healthTLS(cfg *config.Config) *tls.Config {
	settings, _ := cfg.Certs("")
	settings.Outgoing = settings.CACertFile != "" || settings.CACertDir != ""
	settings.AuthClients = certs.AuthNo
	b, err := certs.Load(settings)
	if err != nil || !settings.Outgoing {
		return &tls.Config{InsecureSkipVerify: true} // if it asks for a certificate, it will say so
	}
	return b.Client()
}

// reachable returns an address under which a server answers that listens on host.
func reachable(host string) string {
	switch host = strings.Trim(strings.TrimPrefix(host, "-"), "[]"); host {
	case "*", "0.0.0.0":
		return "127.0.0.1"
	case "::*", "::":
		return "::1"
	}
	return host
}

// addressed takes an address apart. ok is false where word is none, but the name of a file.
func addressed(word string) (at target, ok bool, err error) {
	at.password = os.Getenv(passwordEnv)
	if strings.Contains(word, "://") {
		at, err = fromURL(word, at)
		return at, true, err
	}
	if fi, err := os.Stat(word); err == nil {
		at.network, at.addr = "unix", word
		return at, fi.Mode()&os.ModeSocket != 0, nil
	}
	if _, err := strconv.ParseUint(word, 10, 16); err == nil {
		word = "127.0.0.1:" + word
	}
	host, port, err := net.SplitHostPort(word)
	if err != nil || strings.HasPrefix(word, "-") {
		return target{}, false, nil
	}
	at.network, at.addr = "tcp", net.JoinHostPort(reachable(host), port)
	return at, true, nil
}

// fromURL knows http and https, and redis and unix as redis-cli -u and client libraries write them.
func fromURL(word string, at target) (target, error) {
	u, err := url.Parse(word)
	if err != nil {
		return at, err
	}
	if password, given := u.User.Password(); given {
		at.user, at.password = u.User.Username(), password
	}
	switch u.Scheme {
	case "http", "https":
		if u.Path == "" || u.Path == "/" {
			u.Path = "/readyz"
		}
		at.http = u.String()
	case "redis", "rediss":
		port := u.Port()
		if port == "" {
			port = "6379"
		}
		at.network, at.addr = "tcp", net.JoinHostPort(u.Hostname(), port)
		if u.Scheme == "rediss" {
			at.tls = &tls.Config{ServerName: u.Hostname()}
		}
	case "unix":
		at.network, at.addr = "unix", u.Path
	default:
		return at, fmt.Errorf("%s is no address of a server: it begins with none of redis, rediss, unix, http and https", word)
	}
	return at, nil
}

// ask returns nil if the server serves.
func (at target) ask(deadline time.Time) error {
	if at.http != "" {
		return at.askHTTP(deadline)
	}
	conn, err := net.DialTimeout(at.network, at.addr, time.Until(deadline))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if at.tls != nil {
		conn = tls.Client(conn, at.tls)
	}
	r := resp.NewReader(conn)
	if at.password != "" {
		auth := []string{"AUTH", at.password}
		if at.user != "" {
			auth = []string{"AUTH", at.user, at.password}
		}
		// A server without a password refuses one that nobody needs. PING will tell.
		if _, err := talk(conn, r, auth...); err != nil && !strings.Contains(err.Error(), "without any password configured") {
			return err
		}
	}
	answer, err := talk(conn, r, "PING")
	if err != nil && strings.HasPrefix(err.Error(), "NOAUTH") {
		return fmt.Errorf("%w The password may stand in %s, or in the redis.conf that you name", err, passwordEnv)
	}
	if err == nil && answer != "PONG" {
		err = fmt.Errorf("PING was answered with %q", answer)
	}
	return err
}

// talk sends a command and returns the reply.
func talk(conn net.Conn, r *resp.Reader, words ...string) (string, error) {
	if _, err := conn.Write(resp.AppendCommandStrings(nil, words...)); err != nil {
		return "", err
	}
	v, err := r.ReadValue()
	if err != nil {
		return "", err
	}
	return string(v.Str), v.Err()
}

func (at target) askHTTP(deadline time.Time) error {
	client := http.Client{Timeout: time.Until(deadline), Transport: &http.Transport{TLSClientConfig: at.tls}}
	r, err := client.Get(at.http)
	if err != nil {
		return err
	}
	defer func() { _ = r.Body.Close() }()
	said, err := io.ReadAll(io.LimitReader(r.Body, 1<<10))
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", r.Status, strings.TrimSpace(string(said)))
	}
	return err
}
