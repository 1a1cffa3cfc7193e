package config

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"byor/pkg/engine"
)

// Parameters of Redis that ask for nothing here, of two kinds. A redis.conf with its defaults can be used
// as it is; what this server cannot do it refuses by name and does not pretend.

// same is a parameter that says how Redis does something inside which is done another way here, with the
// same effect whatever the value is. words are the values that Redis accepts.
func same(name, def string, words ...string) Param {
	p := remembered(name, def)
	p.takes, p.Words = "one of "+strings.Join(words, ", "), words
	p.Set = func(c *Config, v string) error {
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

// only is a parameter that asks for something this server does not have. What Redis does not take as its value
// is refused in Redis's words, and of what it takes only the default is accepted.
func only(p Param) Param {
	parse, show, def := p.Set, p.Get, p.def
	p.Inert, p.kind = true, onlyDefault
	p.Get = func(*Config) string { return def }
	p.Set = func(_ *Config, v string) error {
		var tried Config
		if err := parse(&tried, v); err != nil {
			return err
		}
		if show(&tried) != def {
			return fmt.Errorf("this server does not support any value but '%s'", def)
		}
		return nil
	}
	return p
}

// notOn is a parameter that works but on some systems, where nothing but its default is accepted. systems are words
// of runtime.GOOS.
func notOn(systems string, p Param) Param {
	if slices.Contains(strings.Fields(systems), runtime.GOOS) {
		return only(p)
	}
	return p
}

// What has no field of its own is tried in a configuration that is thrown away, see only: any field will do.
func someInt(c *Config) *int64   { return &c.Port }
func someBool(c *Config) *bool   { return &c.AppendOnly }
func someText(c *Config) *string { return &c.Dir }

func onlyText(name, def string) Param { return only(stringParam(name, def, someText)) }

func onlyBool(name string, def bool) Param { return only(boolParam(name, def, someBool)) }

func onlyInt(name string, def, lo, hi int64) Param { return only(intParam(name, def, lo, hi, someInt)) }

func onlyWord(name, def string, words ...string) Param {
	return only(enumParam(name, def, someText, words...))
}

// sameAs is same for a parameter that takes more than a few words.
func sameAs(p Param) Param {
	parse, show := p.Set, p.Get
	p.Inert = true
	p.Get = func(c *Config) string { return c.other[p.Name] }
	p.Set = func(c *Config, v string) error {
		var tried Config
		if err := parse(&tried, v); err != nil {
			return err
		}
		c.other[p.Name] = show(&tried)
		return nil
	}
	return p
}

// remembered is a parameter whose value is kept only to be shown.
func remembered(name, def string) Param {
	return Param{Name: name, def: def, Inert: true, Get: func(c *Config) string { return c.other[name] },
		Set: func(c *Config, v string) error { c.other[name] = v; return nil }}
}

// sameParams: memory is freed beside the commands by Go's collector, whoever lets go of it; sockets are
// read by the loops' threads; a payload is always checked whole; a snapshot is written in pieces that
// the system is told to write out.
func sameParams() []Param {
	return []Param{
		same("lazyfree-lazy-server-del", "no", yesOrNo...),
		same("lazyfree-lazy-user-flush", "no", yesOrNo...), alias("slave-lazy-flush", same("replica-lazy-flush", "no", yesOrNo...)),
		fixed(same("io-threads-do-reads", "no", yesOrNo...)), same("sanitize-dump-payload", "no", "no", "yes", "clients"),
		sameAs(intParam("tls-session-cache-size", 20480, 0, maxInt, someInt)), // sessions are kept by the clients
		same("tls-prefer-server-ciphers", "no", yesOrNo...),                   // Go chooses by what both can do fast and safely
		sameAs(stringParam("tls-dh-params-file", "", someText)),               // the ciphers that need it are none of Go's
		same("dynamic-hz", "yes", yesOrNo...),                                 // the work of a period does not grow with the clients
	}
}

// onlyParams are what a Redis can do and this server cannot, or does in one way alone.
func onlyParams() []Param {
	return slices.Concat(onlyProcess(), onlyData(), onlyDefrag(), onlyCluster(), onlyTLS())
}

// onlyProcess is about the process and the machine it runs on.
func onlyProcess() []Param {
	list := []Param{
		fixed(onlyBool("always-show-logo", false)), fixed(onlyBool("set-proc-title", true)),
		fixed(onlyBool("disable-thp", true)), fixed(onlyInt("socket-mark-id", 0, 0, 1<<32-1)),
		onlyText("proc-title-template", "{title} {listen-addr} {server-mode}"), onlyText("ignore-warnings", ""), onlyText("bind-source-addr", ""),
		onlyBool("jemalloc-bg-thread", true), onlyBool("crash-log-enabled", true), onlyBool("crash-memcheck-enabled", true),
		onlyWord("oom-score-adj", "no", "no", "yes", "relative", "absolute"), only(oomScores()),
	}
	for _, cpus := range []string{"server_cpulist", "bio_cpulist", "aof_rewrite_cpulist", "bgsave_cpulist"} {
		list = append(list, fixed(onlyText(cpus, "")))
	}
	return list
}

// onlyData is about what is done with the data, and for whom.
func onlyData() []Param {
	return []Param{
		onlyBool("rdb-save-incremental-fsync", true), onlyBool("aof-rewrite-incremental-fsync", true), onlyBool("rdb-del-sync-files", false),
		onlyBool("aof-disable-auto-gc", false), onlyBool("replica-ignore-disk-write-errors", false),
		onlyWord("repl-diskless-load", "disabled", "disabled", "on-empty-db", "swapdb"),
		onlyWord("propagation-error-behavior", "ignore", "ignore", "panic", "panic-on-replicas"),
		onlyInt("list-compress-depth", 0, 0, maxInt),
	}
}

func onlyDefrag() []Param {
	return []Param{
		noDefrag(), only(atLeast(1, memParam("active-defrag-ignore-bytes", "104857600", someInt))),
		onlyInt("active-defrag-threshold-lower", 10, 0, 1000), onlyInt("active-defrag-threshold-upper", 100, 0, 1000),
		onlyInt("active-defrag-cycle-min", 1, 1, 99), onlyInt("active-defrag-cycle-max", 25, 1, 99),
		onlyInt("active-defrag-max-scan-fields", 1000, 1, maxLong),
	}
}

func onlyCluster() []Param {
	return []Param{
		fixed(onlyBool("cluster-enabled", false)), fixed(onlyText("cluster-config-file", "nodes.conf")), fixed(onlyInt("cluster-port", 0, 0, 65535)),
		onlyBool("cluster-allow-pubsubshard-when-down", true), onlyBool("cluster-allow-reads-when-down", false),
		onlyBool("cluster-allow-replica-migration", true), onlyBool("cluster-require-full-coverage", true),
		onlyInt("cluster-announce-bus-port", 0, 0, 65535), onlyInt("cluster-announce-port", 0, 0, 65535), onlyInt("cluster-announce-tls-port", 0, 0, 65535),
		onlyText("cluster-announce-hostname", ""), onlyText("cluster-announce-ip", ""),
		onlyInt("cluster-migration-barrier", 1, 0, maxInt), onlyInt("cluster-node-timeout", 15000, 0, maxLong),
		only(memParam("cluster-link-sendbuf-limit", "0", someInt)),
		onlyWord("cluster-preferred-endpoint-type", "ip", "ip", "hostname", "unknown-endpoint"),
		alias("cluster-slave-no-failover", onlyBool("cluster-replica-no-failover", false)),
		alias("cluster-slave-validity-factor", onlyInt("cluster-replica-validity-factor", 10, 0, maxInt)),
	}
}

// oomScores are three numbers.
func oomScores() Param {
	p := multiWord(stringParam("oom-score-adj-values", "0 200 800", someText))
	set := p.Set
	p.Set = func(c *Config, v string) error {
		words := splitValue(v)
		if len(words) != 3 {
			return errors.New("wrong number of arguments")
		}
		for _, w := range words {
			if n, err := strconv.Atoi(w); err != nil || n < -2000 || n > 2000 {
				return errors.New("Invalid oom-score-adj-values, elements must be between -2000 and 2000.") //nolint:staticcheck // Redis's words
			}
		}
		return set(c, v)
	}
	return p
}

// noDefrag is refused in the words of a Redis that was built without the means, as Debian's is.
func noDefrag() Param {
	p := same("activedefrag", "no", yesOrNo...)
	p.kind = onlyDefault
	set := p.Set
	p.Set = func(c *Config, v string) error {
		if strings.EqualFold(v, "yes") {
			return errors.New("Active defragmentation cannot be enabled: it requires a Redis server compiled with a modified Jemalloc like the one shipped by default with the Redis source distribution") //nolint:staticcheck // Redis's words
		}
		return set(c, v)
	}
	return p
}

// percentilesParam is latency-tracking-info-percentiles: what INFO latencystats shows of each command.
func percentilesParam() Param {
	return Param{Name: "latency-tracking-info-percentiles", def: "50 99 99.9", multi: true,
		Get: func(c *Config) string { return strings.Join(PercentileNames(c.LatencyPercentiles), " ") },
		Set: func(c *Config, v string) error {
			var all []float64
			for _, w := range splitValue(v) {
				f, n, tooFar := engine.Strtod(w)
				if n < len(w) || n == 0 || tooFar || math.IsNaN(f) {
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

func PercentileNames(all []float64) []string {
	names := make([]string, len(all))
	for i, f := range all {
		names[i] = strings.TrimRight(strings.TrimRight(strconv.FormatFloat(f, 'f', 6, 64), "0"), ".")
	}
	return names
}

// clamped is a number that is brought into its range instead of being refused, as Redis does with it.
func clamped(lo, hi int64, field func(c *Config) *int64, p Param) Param {
	set := p.Set
	p.Set = func(c *Config, v string) error {
		err := set(c, v)
		if err == nil {
			*field(c) = min(max(*field(c), lo), hi)
		}
		return err
	}
	return p
}
