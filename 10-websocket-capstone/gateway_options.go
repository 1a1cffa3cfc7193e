package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"byor/pkg/certs"
	"byor/pkg/history"
	"byor/pkg/queue"
)

// dialFunc opens a session of the engine for the peer at remote, the browser's address, so that CLIENT LIST
// and CLIENT KILL know it. The connection carries RESP, as over TCP.
type dialFunc func(remote net.Addr) (net.Conn, error)

// gatewayOptions is what the gateway is told. Start from defaultGatewayOptions.
type gatewayOptions struct {
	Dial     dialFunc                 // required: the gateway's own session, and all others if Attach is nil
	Attach   attachFunc               // sessions of browsers without a connection
	Password func() string            // the server's password now, "" for none; nil: none ever
	Locked   func() bool              // who connects must log in now; nil: as Password says
	Born     func(name string) string // what a command is called without rename-command; nil: the same
	Stopping func() bool              // whether sessions end because the server does; nil: never
	Logf     func(format string, args ...any)

	TLS      bool          // https and wss
	AskCerts string        // whether browsers have to show a certificate: no, yes or optional
	Certs    *certs.Keeper // required for TLS

	Bind string // address to listen on
	Port int    // 0 turns HTTP off
	// PortChosen says that somebody has asked for this port. If the default one is taken, the gateway does
	// without, so that two servers can run side by side.
	PortChosen bool

	Origins []string // hosts of pages that may connect besides our own; "*" for any
	Hosts   []string // names under which we may be asked for, besides localhost and plain addresses
	Allow   []string // administrative commands allowed over WebSocket, such as "config|get"

	History []history.Rule // of which channels messages are kept; the engine keeps them

	MaxMessage       int           // bytes of one message from a client
	MaxQueue         int           // bytes waiting for one client
	MaxSubscriptions int           // of one client
	MaxConnections   int           // WebSockets at a time
	OpsRate          float64       // operations a second of one client, 0 for no limit
	OpsBurst         float64       // operations it may make at once
	HelloTimeout     time.Duration // to log in, when a password is set
	Ping             time.Duration // between pings
	ReadTimeout      time.Duration // without a message or pong; also for one message to be whole
	WriteTimeout     time.Duration // of one write
	CloseTimeout     time.Duration // to wait for the peer's half of a closing handshake
	PresenceDelay    time.Duration // for which changes of presence are gathered
	HTTPWait         time.Duration // that a command over HTTP may block
	QueueTimeout     time.Duration // after which a message of a queue is given again
	QueueTries       int           // times that it is given, 0 for any number
	Compression      bool
	HTTPCommands     bool // serve /c
	HTTPQueues       bool // serve /q, and queues over WebSocket
	PProf            bool // serve /debug/pprof/ to peers on this machine
}

// defaultGatewayOptions returns the defaults of gatewaySettings, and of what is no setting.
func defaultGatewayOptions() gatewayOptions {
	o := gatewayOptions{CloseTimeout: 5 * time.Second, PresenceDelay: 250 * time.Millisecond, HTTPWait: 30 * time.Second}
	for _, s := range gatewaySettings {
		if err := s.set(&o, s.Default); err != nil {
			panic(s.Name + ": " + err.Error())
		}
	}
	o.PortChosen = false
	return o
}

// gatewaySetting is a setting by its name on the command line. A value is in
// Redis's manner: "64kb", "yes"; times are in seconds.
type gatewaySetting struct {
	Name, Default, Help string
	set                 func(o *gatewayOptions, value string) error
}

// gatewaySettings lists all settings, as they stand on the command line (--ws-queue 2mb) or in a
// redis.conf (ws-queue 2mb).
var gatewaySettings = []gatewaySetting{
	{"http-port", "8080", "port of the page and the WebSocket, 0 for none", setInt(0, 65535, func(o *gatewayOptions) *int { o.PortChosen = true; return &o.Port })},
	{"http-bind", "127.0.0.1", "address of the page and the WebSocket", func(o *gatewayOptions, v string) error { o.Bind = v; return nil }},
	{"http-tls", "no", "serve https and wss, with tls-cert-file and tls-key-file", setBool(func(o *gatewayOptions) *bool { return &o.TLS })},
	{"http-tls-auth-clients", "no", "whether browsers have to show a certificate: no, yes or optional", setAskCerts},
	{"history", "", "messages to keep of channels, for who comes back: \"room:*=1000\", or \"room:*=1000,1h\"; may be repeated", setHistory},
	{"http-pprof", "no", "serve /debug/pprof/ to this machine", setBool(func(o *gatewayOptions) *bool { return &o.PProf })},
	{"http-commands", "no", "serve commands over plain HTTP at /c", setBool(func(o *gatewayOptions) *bool { return &o.HTTPCommands })},
	{"http-queues", "no", "serve work queues at /q and over the WebSocket", setBool(func(o *gatewayOptions) *bool { return &o.HTTPQueues })},
	{"http-queue-timeout", "30", "seconds a worker has for a message before another one gets it", setQueueTimeout},
	{"http-queue-tries", "5", "workers that may fail with a message before it goes to NAME.dead, 0 for any number", setInt(0, 1<<30, func(o *gatewayOptions) *int { return &o.QueueTries })},
	{"ws-origins", "", "hosts of other pages that may connect", setList(func(o *gatewayOptions) *[]string { return &o.Origins })},
	{"ws-hosts", "", "names under which the server may be asked for", setList(func(o *gatewayOptions) *[]string { return &o.Hosts })},
	{"ws-allow-commands", "", "administrative commands to allow, such as \"config|get flushall\"", setList(func(o *gatewayOptions) *[]string { return &o.Allow })},
	{"ws-max-message", "64kb", "bytes of a message from a client", setBytes(func(o *gatewayOptions) *int { return &o.MaxMessage })},
	{"ws-queue", "1mb", "bytes that may wait for a client that does not read", setBytes(func(o *gatewayOptions) *int { return &o.MaxQueue })},
	{"ws-subscriptions", "128", "subscriptions of a client", setInt(0, 1<<30, func(o *gatewayOptions) *int { return &o.MaxSubscriptions })},
	{"ws-connections", "1000", "WebSockets at a time", setInt(0, 1<<30, func(o *gatewayOptions) *int { return &o.MaxConnections })},
	{"ws-ops-rate", "100", "operations a second of a client, 0 for any number", setFloat(func(o *gatewayOptions) *float64 { return &o.OpsRate })},
	{"ws-ops-burst", "200", "operations a client may make at once", setFloat(func(o *gatewayOptions) *float64 { return &o.OpsBurst })},
	{"ws-hello-timeout", "5", "seconds to log in when a password is set", setSeconds(func(o *gatewayOptions) *time.Duration { return &o.HelloTimeout })},
	{"ws-ping", "25", "seconds between pings", setSeconds(func(o *gatewayOptions) *time.Duration { return &o.Ping })},
	{"ws-read-timeout", "60", "seconds of silence after which a client is gone", setSeconds(func(o *gatewayOptions) *time.Duration { return &o.ReadTimeout })},
	{"ws-write-timeout", "10", "seconds a write may take", setSeconds(func(o *gatewayOptions) *time.Duration { return &o.WriteTimeout })},
	{"ws-compression", "no", "offer compression", setBool(func(o *gatewayOptions) *bool { return &o.Compression })},
}

// born returns a command by the name that it had before rename-command: a command is judged by what it does.
func (o *gatewayOptions) born(args [][]byte) [][]byte {
	if o.Born == nil || len(args) == 0 {
		return args
	}
	name := o.Born(string(args[0]))
	if strings.EqualFold(name, string(args[0])) {
		return args
	}
	return append([][]byte{[]byte(name)}, args[1:]...)
}

// Has reports whether there is a setting of that name.
func (o *gatewayOptions) Has(name string) bool {
	return slices.ContainsFunc(gatewaySettings, func(s gatewaySetting) bool { return strings.EqualFold(s.Name, name) })
}

// Set sets one setting by name. known is false when there is none of that name.
func (o *gatewayOptions) Set(name, value string) (known bool, err error) {
	for _, s := range gatewaySettings {
		if strings.EqualFold(s.Name, name) {
			if err := s.set(o, value); err != nil {
				return true, fmt.Errorf("%s: %w", s.Name, err)
			}
			return true, nil
		}
	}
	return false, nil
}

// setHistory adds rules to those that were given before; "" takes them back.
func setHistory(o *gatewayOptions, v string) error {
	if v == "" {
		o.History = nil
		return nil
	}
	rules, err := history.ParseRules(v)
	if err == nil && len(o.History)+len(rules) > history.MaxRules {
		err = history.ErrTooManyRules
	}
	if err == nil {
		o.History = append(o.History, rules...)
	}
	return err
}

type setter = func(o *gatewayOptions, value string) error

func setInt(lo, hi int, field func(*gatewayOptions) *int) setter {
	return func(o *gatewayOptions, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < lo || n > hi {
			return fmt.Errorf("%q is no number from %d to %d", v, lo, hi)
		}
		*field(o) = n
		return nil
	}
}

func setBytes(field func(*gatewayOptions) *int) setter {
	return func(o *gatewayOptions, v string) error {
		units := []struct {
			suffix string
			size   int
		}{{"kb", 1 << 10}, {"mb", 1 << 20}, {"gb", 1 << 30}, {"k", 1e3}, {"m", 1e6}, {"g", 1e9}, {"b", 1}, {"", 1}}
		for _, u := range units {
			digits, ok := strings.CutSuffix(strings.ToLower(v), u.suffix)
			if !ok {
				continue
			}
			n, err := strconv.Atoi(digits)
			if err != nil || n < 1 || n > 1<<40/u.size {
				break
			}
			*field(o) = n * u.size
			return nil
		}
		return fmt.Errorf("%q is no size such as 65536 or 64kb", v)
	}
}

func setFloat(field func(*gatewayOptions) *float64) setter {
	return func(o *gatewayOptions, v string) error {
		f, err := strconv.ParseFloat(v, 64)
		if err != nil || !(f >= 0 && f < 1e12) {
			return fmt.Errorf("%q is no number of 0 or more", v)
		}
		*field(o) = f
		return nil
	}
}

func setSeconds(field func(*gatewayOptions) *time.Duration) setter {
	return func(o *gatewayOptions, v string) error {
		f, err := strconv.ParseFloat(v, 64)
		if err != nil || !(f > 0 && f < 1e9) {
			return fmt.Errorf("%q is no number of seconds", v)
		}
		*field(o) = time.Duration(f * float64(time.Second))
		return nil
	}
}

func setQueueTimeout(o *gatewayOptions, v string) error {
	var d time.Duration
	if err := setSeconds(func(*gatewayOptions) *time.Duration { return &d })(o, v); err != nil {
		return err
	}
	if d < time.Millisecond || d > queue.MaxTimeout {
		return fmt.Errorf("%q is not from 0.001 to %g seconds", v, queue.MaxTimeout.Seconds())
	}
	o.QueueTimeout = d
	return nil
}

func setBool(field func(*gatewayOptions) *bool) setter {
	return func(o *gatewayOptions, v string) error {
		switch strings.ToLower(v) {
		case "yes":
			*field(o) = true
		case "no":
			*field(o) = false
		default:
			return errors.New("must be yes or no")
		}
		return nil
	}
}

func setList(field func(*gatewayOptions) *[]string) setter {
	return func(o *gatewayOptions, v string) error {
		*field(o) = strings.FieldsFunc(strings.ToLower(v), func(r rune) bool { return r == ' ' || r == ',' })
		return nil
	}
}

func (o *gatewayOptions) password() string {
	if o.Password == nil {
		return ""
	}
	return o.Password()
}

// locked reports whether a browser has to log in.
func (o *gatewayOptions) locked() bool {
	if o.Locked != nil {
		return o.Locked()
	}
	return o.password() != ""
}

// errPublicBind refuses what Redis's protected mode refuses: a door to the whole network without a lock. With
// browsers it is worse than with a TCP port, because every page that a user opens may try it.
var errPublicBind = errors.New("http-bind is not a loopback address and no password is set: " +
	"set one with requirepass, or bind to 127.0.0.1")

// checkBind fails for a public address without a password.
func (o *gatewayOptions) checkBind() error {
	if o.locked() || strings.EqualFold(o.Bind, "localhost") {
		return nil
	}
	if ip := net.ParseIP(strings.Trim(o.Bind, "[]")); ip != nil && ip.IsLoopback() {
		return nil
	}
	return errPublicBind
}
