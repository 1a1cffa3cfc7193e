package server

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Parameters of Redis that ask for nothing here, of two kinds. A redis.conf with its defaults can be used
// as it is; what this server cannot do it refuses by name and does not pretend.

// same is a parameter that says how Redis does something inside which is done another way here, with the
// same effect whatever the value is. words are the values that Redis accepts.
func same(name, def string, words ...string) param {
	p := remembered(name, def)
	p.set = func(c *Config, v string) error {
		if v = strings.ToLower(v); !slices.Contains(words, v) {
			if slices.Equal(words, yesOrNo) {
				return errors.New("argument must be 'yes' or 'no'")
			}
			return fmt.Errorf("argument(s) must be one of the following: %s", strings.Join(words, ", "))
		}
		c.other[name] = v
		return nil
	}
	return p
}

var yesOrNo = []string{"yes", "no"}

// only is a parameter that asks for something this server does not have. Its default is accepted;
// anything else is refused rather than ignored.
func only(name, def string) param {
	p := remembered(name, def)
	p.set = func(c *Config, v string) error {
		if !strings.EqualFold(v, def) {
			return fmt.Errorf("this server does not support any value but '%s'", def)
		}
		c.other[name] = def
		return nil
	}
	return p
}

// remembered is a parameter whose value is kept only to be shown.
func remembered(name, def string) param {
	return param{name: name, def: def, inert: true, get: func(c *Config) string { return c.other[name] },
		set: func(c *Config, v string) error { c.other[name] = v; return nil }}
}

// sameParams: memory is freed beside the commands by Go's collector, whoever lets go of it; sockets are
// read by the loops' threads; a payload is always checked whole; a snapshot is written in pieces that
// the system is told to write out.
func sameParams() []param {
	return []param{
		same("lazyfree-lazy-server-del", "no", yesOrNo...), same("lazyfree-lazy-user-del", "no", yesOrNo...),
		same("lazyfree-lazy-user-flush", "no", yesOrNo...), alias("slave-lazy-flush", same("replica-lazy-flush", "no", yesOrNo...)),
		fixed(same("io-threads-do-reads", "no", yesOrNo...)), same("sanitize-dump-payload", "no", "no", "yes", "clients"),
		same("dynamic-hz", "yes", yesOrNo...), // the work of a period does not grow with the clients
	}
}

// onlyParams are what a Redis can do and this server cannot, or does in one way alone.
func onlyParams() []param {
	list := func(wrap func(param) param, pairs ...string) (out []param) {
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, wrap(only(pairs[i], pairs[i+1])))
		}
		return out
	}
	plain := func(p param) param { return p }
	slave := func(newer, older, def string) param { return alias(older, only(newer, def)) }
	return slices.Concat(
		list(fixed, "always-show-logo", "no", "daemonize", "no", "supervised", "no", "set-proc-title", "yes", "disable-thp", "yes",
			"syslog-enabled", "no", "syslog-ident", "redis", "syslog-facility", "local0", "aclfile", "", "socket-mark-id", "0",
			"server_cpulist", "", "bio_cpulist", "", "aof_rewrite_cpulist", "", "bgsave_cpulist", "",
			"cluster-enabled", "no", "cluster-config-file", "nodes.conf", "cluster-port", "0", "ignore-warnings", ""),
		list(plain, "proc-title-template", "{title} {listen-addr} {server-mode}", "jemalloc-bg-thread", "yes",
			"rdb-save-incremental-fsync", "yes", "aof-rewrite-incremental-fsync", "yes", "rdb-del-sync-files", "no",
			"notify-keyspace-events", "", "tracking-table-max-keys", "1000000",
			"maxmemory-clients", "0", "repl-diskless-load", "disabled", "propagation-error-behavior", "ignore",
			"replica-ignore-disk-write-errors", "no", "acllog-max-len", "128", "acl-pubsub-default", "resetchannels",
			"crash-log-enabled", "yes", "crash-memcheck-enabled", "yes", "aof-disable-auto-gc", "no", "bind-source-addr", "",
			"list-compress-depth", "0", "active-defrag-ignore-bytes", "104857600", "active-defrag-threshold-lower", "10",
			"active-defrag-threshold-upper", "100", "active-defrag-cycle-min", "1", "active-defrag-cycle-max", "25",
			"active-defrag-max-scan-fields", "1000"),
		list(multiWord, "oom-score-adj", "no", "oom-score-adj-values", "0 200 800"),
		list(plain, "cluster-allow-pubsubshard-when-down", "yes", "cluster-allow-reads-when-down", "no",
			"cluster-allow-replica-migration", "yes", "cluster-announce-bus-port", "0", "cluster-announce-hostname", "",
			"cluster-announce-ip", "", "cluster-announce-port", "0", "cluster-announce-tls-port", "0", "cluster-link-sendbuf-limit", "0",
			"cluster-migration-barrier", "1", "cluster-node-timeout", "15000", "cluster-preferred-endpoint-type", "ip",
			"cluster-require-full-coverage", "yes"),
		list(plain, "tls-port", "0", "tls-auth-clients", "yes", "tls-ca-cert-dir", "", "tls-ca-cert-file", "", "tls-cert-file", "",
			"tls-ciphers", "", "tls-ciphersuites", "", "tls-client-cert-file", "", "tls-client-key-file", "", "tls-client-key-file-pass", "",
			"tls-cluster", "no", "tls-dh-params-file", "", "tls-key-file", "", "tls-key-file-pass", "", "tls-prefer-server-ciphers", "no",
			"tls-protocols", "", "tls-replication", "no", "tls-session-cache-size", "20480", "tls-session-cache-timeout", "300",
			"tls-session-caching", "yes"),
		[]param{slave("cluster-replica-no-failover", "cluster-slave-no-failover", "no"),
			slave("cluster-replica-validity-factor", "cluster-slave-validity-factor", "10"),
			alias("lua-time-limit", only("busy-reply-threshold", "5000")), noDefrag()})
}

// noDefrag is refused in the words of a Redis that was built without the means, as Debian's is.
func noDefrag() param {
	p := same("activedefrag", "no", yesOrNo...)
	set := p.set
	p.set = func(c *Config, v string) error {
		if strings.EqualFold(v, "yes") {
			return errors.New("Active defragmentation cannot be enabled: it requires a Redis server compiled with a modified Jemalloc like the one shipped by default with the Redis source distribution") //nolint:staticcheck // Redis's words
		}
		return set(c, v)
	}
	return p
}

// percentilesParam is latency-tracking-info-percentiles: what INFO latencystats shows of each command.
func percentilesParam() param {
	return param{name: "latency-tracking-info-percentiles", def: "50 99 99.9", multi: true,
		get: func(c *Config) string { return strings.Join(percentileNames(c.LatencyPercentiles), " ") },
		set: func(c *Config, v string) error {
			var all []float64
			for _, w := range strings.Fields(v) {
				f, err := strconv.ParseFloat(w, 64)
				if err != nil || math.IsNaN(f) {
					return errors.New("Invalid latency-tracking-info-percentiles parameters") //nolint:staticcheck // Redis's words
				}
				if !(f >= 0 && f <= 100) {
					return errors.New("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]")
				}
				all = append(all, f)
			}
			c.LatencyPercentiles = all
			return nil
		}}
}

func percentileNames(all []float64) []string {
	names := make([]string, len(all))
	for i, f := range all {
		names[i] = strings.TrimRight(strings.TrimRight(strconv.FormatFloat(f, 'f', 6, 64), "0"), ".")
	}
	return names
}

// clamped is a number that is brought into its range instead of being refused, as Redis does with it.
func clamped(lo, hi int64, field func(c *Config) *int64, p param) param {
	set := p.set
	p.set = func(c *Config, v string) error {
		err := set(c, v)
		if err == nil {
			*field(c) = min(max(*field(c), lo), hi)
		}
		return err
	}
	return p
}
