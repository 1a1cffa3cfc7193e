package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"byor/pkg/resp"
)

// Param is one parameter of redis.conf: how it is shown and how it is set.
type Param struct {
	Name      string
	Alias     string // an older name
	Immutable bool   // only at start
	Protected bool   // at run time only where enable-protected-configs allows it
	Settled   bool   // not while the data is being loaded
	Get       func(c *Config) string
	Set       func(c *Config, v string) error

	Words []string // what it takes, where that is one of a few words

	def   string
	multi bool // several words
	Inert bool // it changes nothing here, see noted.go
	kind  kind
	takes string // in words, for who gave something else
}

func intParam(name string, def, lo, hi int64, field func(c *Config) *int64) Param {
	return Param{Name: name, def: itoa(def), takes: takesInt(lo, hi),
		Get: func(c *Config) string { return itoa(*field(c)) },
		Set: func(c *Config, v string) error {
			n, ok := resp.ParseInt([]byte(v))
			if !ok {
				return errNotInteger
			}
			if n < lo || n > hi {
				return outOfRange(lo, hi)
			}
			*field(c) = n
			return nil
		}}
}

func memParam(name, def string, field func(c *Config) *int64) Param {
	return Param{Name: name, def: def, kind: sizeKind, takes: "a number of bytes such as 1000, 64kb or 1gb",
		Get: func(c *Config) string { return itoa(*field(c)) },
		Set: func(c *Config, v string) error {
			n, err := Memory(v)
			if err != nil {
				return err
			}
			if n > maxLong {
				return outOfRange(0, maxLong)
			}
			*field(c) = int64(n)
			return nil
		}}
}

// atLeast bounds a memory parameter from below.
func atLeast(lo int64, p Param) Param {
	set := p.Set
	p.Set = func(c *Config, v string) error {
		if n, err := Memory(v); err == nil && (n < uint64(lo) || n > maxLong) {
			return outOfRange(lo, maxLong)
		}
		return set(c, v)
	}
	return p
}

func boolParam(name string, def bool, field func(c *Config) *bool) Param {
	return Param{Name: name, def: yesNo(def), takes: "yes or no", Words: yesOrNo,
		Get: func(c *Config) string { return yesNo(*field(c)) },
		Set: func(c *Config, v string) error {
			switch strings.ToLower(v) {
			case "yes":
				*field(c) = true
			case "no":
				*field(c) = false
			default:
				return errors.New("argument must be 'yes' or 'no'")
			}
			return nil
		}}
}

func stringParam(name, def string, field func(c *Config) *string) Param {
	return Param{Name: name, def: def, kind: textKind, takes: "one word, in quotes if there are spaces in it",
		Get: func(c *Config) string { return *field(c) },
		Set: func(c *Config, v string) error { *field(c) = v; return nil }}
}

func enumParam(name, def string, field func(c *Config) *string, words ...string) Param {
	return Param{Name: name, def: def, takes: "one of " + strings.Join(words, ", "), Words: words,
		Get: func(c *Config) string { return *field(c) },
		Set: func(c *Config, v string) error {
			if v = strings.ToLower(v); !slices.Contains(words, v) {
				return fmt.Errorf("argument(s) must be one of the following: %s", strings.Join(words, ", "))
			}
			*field(c) = v
			return nil
		}}
}

func fixed(p Param) Param { p.Immutable = true; return p }

// protected is for what lets a client choose the place and name of a file that the server writes.
func protected(p Param) Param { p.Protected = true; return p }

// fileName refuses what is not a plain name of a file (or of a directory) in dir: with a path a client
// could write anywhere.
func fileName(kind string, p Param) Param {
	set := p.Set
	p.Set = func(c *Config, v string) error {
		switch {
		case strings.ContainsAny(v, `/\`):
			return fmt.Errorf("%s can't be a path, just a %s", p.Name, kind)
		case v == "" && p.Immutable:
			return fmt.Errorf("%s can't be empty", p.Name)
		}
		return set(c, v)
	}
	return p
}

func settled(p Param) Param { p.Settled = true; return p }

func alias(older string, p Param) Param { p.Alias = older; return p }

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func itoa[T int | int32 | int64](n T) string { return strconv.FormatInt(int64(n), 10) }

const maxInt = 1<<31 - 1
const maxLong = 1<<63 - 1

// params are all parameters in the order of CONFIG GET *.
var params []Param

// Params returns all parameters, in the order of CONFIG GET *. It is not to be changed.
func Params() []Param { return params }

func init() {
	params = slices.Concat(networkParams(), tlsParams(), generalParams(), persistParams(), replicationParams(), encodingParams(), sameParams(), onlyParams())
}

func networkParams() []Param {
	return []Param{
		{Name: "bind", def: "127.0.0.1", multi: true,
			Get: func(c *Config) string { return strings.Join(c.Bind, " ") },
			Set: parseBind},
		intParam("port", 6380, 0, 65535, func(c *Config) *int64 { return &c.Port }),
		fixed(stringParam("unixsocket", "", func(c *Config) *string { return &c.UnixSocket })),
		{Name: "unixsocketperm", def: "0", Immutable: true,
			Get: func(c *Config) string { return strconv.FormatInt(c.UnixSocketPerm, 8) },
			Set: func(c *Config, v string) error {
				n, err := strconv.ParseInt(v, 8, 64)
				if err != nil {
					return errors.New("argument couldn't be parsed as an octal number")
				}
				if n < 0 || n > 0o777 {
					return errors.New("argument must be between 0 and 777 inclusive")
				}
				c.UnixSocketPerm = n
				return nil
			}},
		fixed(intParam("tcp-backlog", 511, 0, maxInt, func(c *Config) *int64 { return &c.TCPBacklog })),
		intParam("tcp-keepalive", 300, 0, maxInt, func(c *Config) *int64 { return &c.TCPKeepalive }),
		intParam("timeout", 0, 0, maxInt, func(c *Config) *int64 { return &c.Timeout }),
		boolParam("protected-mode", true, func(c *Config) *bool { return &c.ProtectedMode }),
		intParam("maxclients", 10000, 1, 1<<32-1, func(c *Config) *int64 { return &c.MaxClients }),
		stringParam("requirepass", "", func(c *Config) *string { return &c.RequirePass }),
		fixed(stringParam("aclfile", "", func(c *Config) *string { return &c.ACLFile })),
		enumParam("acl-pubsub-default", "resetchannels", func(c *Config) *string { return &c.ACLPubsubDefault }, "allchannels", "resetchannels"),
		intParam("acllog-max-len", 128, 0, maxLong, func(c *Config) *int64 { return &c.ACLLogMaxLen }),
		atLeast(1<<20, memParam("proto-max-bulk-len", "512mb", func(c *Config) *int64 { return &c.ProtoMaxBulkLen })),
		atLeast(1<<20, memParam("client-query-buffer-limit", "1gb", func(c *Config) *int64 { return &c.QueryBufferLimit })),
		outputLimitParam(),
	}
}

func hz(c *Config) *int64 { return &c.Hz }

func generalParams() []Param {
	return []Param{
		fixed(intParam("databases", 16, 1, maxInt, func(c *Config) *int64 { return &c.Databases })),
		fixed(intParam("io-threads", 1, 0, 128, func(c *Config) *int64 { return &c.IOThreads })),
		clamped(1, 500, hz, intParam("hz", 10, 0, maxInt, hz)),
		enumParam("loglevel", "notice", func(c *Config) *string { return &c.LogLevel }, "debug", "verbose", "notice", "warning"),
		fixed(stringParam("logfile", "", func(c *Config) *string { return &c.LogFile })),
		memParam("maxmemory", "0", func(c *Config) *int64 { return &c.MaxMemory }),
		enumParam("maxmemory-policy", "noeviction", func(c *Config) *string { return &c.MaxMemoryPolicy },
			"volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl", "allkeys-lru", "allkeys-lfu", "allkeys-random", "noeviction"),
		clientMemory(),
		intParam("maxmemory-samples", 5, 1, maxInt, func(c *Config) *int64 { return &c.MaxMemorySamples }),
		intParam("lfu-log-factor", 10, 0, maxInt, func(c *Config) *int64 { return &c.LFULogFactor }),
		intParam("lfu-decay-time", 1, 0, maxInt, func(c *Config) *int64 { return &c.LFUDecayTime }),
		intParam("slowlog-log-slower-than", 10000, -1, maxLong, func(c *Config) *int64 { return &c.SlowlogSlowerThanUs }),
		intParam("slowlog-max-len", 128, 0, maxLong, func(c *Config) *int64 { return &c.SlowlogMaxLen }),
		intParam("latency-monitor-threshold", 0, 0, maxLong, func(c *Config) *int64 { return &c.LatencyThresholdMs }),
		alias("lua-time-limit", intParam("busy-reply-threshold", 5000, 0, maxLong, func(c *Config) *int64 { return &c.BusyReplyThreshold })),
		boolParam("latency-tracking", true, func(c *Config) *bool { return &c.LatencyTracking }),
		percentilesParam(),
		keyspaceEvents(),
		intParam("tracking-table-max-keys", 1000000, 0, maxLong, func(c *Config) *int64 { return &c.TrackingMaxKeys }),
		boolParam("activerehashing", true, func(c *Config) *bool { return &c.ActiveRehashing }),
		boolParam("lazyfree-lazy-expire", false, func(c *Config) *bool { return &c.LazyExpire }),
		boolParam("lazyfree-lazy-user-del", false, func(c *Config) *bool { return &c.LazyUserDel }),
		boolParam("lazyfree-lazy-eviction", false, func(c *Config) *bool { return &c.LazyEviction }),
		intParam("maxmemory-eviction-tenacity", 10, 0, 100, func(c *Config) *int64 { return &c.EvictionTenacity }),
		fixed(stringParam("pidfile", "", func(c *Config) *string { return &c.PidFile })),
		fixed(notOn("windows", boolParam("daemonize", false, func(c *Config) *bool { return &c.Daemonize }))),
		fixed(enumParam("supervised", "no", func(c *Config) *string { return &c.Supervised }, "upstart", "systemd", "auto", "no")),
		fixed(notOn("windows plan9", boolParam("syslog-enabled", false, func(c *Config) *bool { return &c.SyslogEnabled }))),
		fixed(stringParam("syslog-ident", "redis", func(c *Config) *string { return &c.SyslogIdent })),
		fixed(enumParam("syslog-facility", "local0", func(c *Config) *string { return &c.SyslogFacility },
			"user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7")),
		intParam("active-expire-effort", 1, 1, 10, func(c *Config) *int64 { return &c.ActiveExpireEffort }),
		intParam("shutdown-timeout", 10, 0, maxInt, func(c *Config) *int64 { return &c.ShutdownTimeoutSec }),
		shutdownParam("shutdown-on-sigterm", func(c *Config) *string { return &c.ShutdownOnSigterm }),
		shutdownParam("shutdown-on-sigint", func(c *Config) *string { return &c.ShutdownOnSigint }),
		whoMay("enable-debug-command", func(c *Config) *string { return &c.EnableDebugCommand }),
		whoMay("enable-protected-configs", func(c *Config) *string { return &c.EnableProtectedConfigs }),
		whoMay("enable-module-command", func(c *Config) *string { return &c.EnableModuleCommand }),
	}
}

// clientMemory is maxmemory-clients: a size, or so much of a hundred of maxmemory.
func clientMemory() Param {
	p := memParam("maxmemory-clients", "0", func(c *Config) *int64 { return &c.MaxMemoryClients })
	set, get := p.Set, p.Get
	p.Get = func(c *Config) string {
		if c.MaxMemoryClients < 0 {
			return itoa(-c.MaxMemoryClients) + "%"
		}
		return get(c)
	}
	p.Set = func(c *Config, v string) error {
		number, percent := strings.CutSuffix(v, "%")
		if n, err := strconv.ParseInt(number, 10, 64); percent && err == nil && n >= 0 {
			if n > 100 {
				return errors.New("percentage argument must be less or equal to 100")
			}
			c.MaxMemoryClients = -n
			return nil
		}
		if set(c, v) != nil {
			return errors.New("argument must be a memory or percent value")
		}
		return nil
	}
	return p
}

// whoMay says who may do what an intruder could use: nobody, everybody, or those on the same machine.
func whoMay(name string, field func(c *Config) *string) Param {
	return fixed(enumParam(name, "no", field, "no", "yes", "local"))
}

func shutdownParam(name string, field func(c *Config) *string) Param {
	p := stringParam(name, "default", field)
	p.multi = true
	p.Set = func(c *Config, v string) (err error) {
		words, err := parseShutdown(v)
		if err == nil {
			*field(c) = words
		}
		return err
	}
	return p
}

func persistParams() []Param {
	return []Param{
		{Name: "dir", def: ".", kind: textKind, Settled: true, Protected: true, Get: func(c *Config) string { return AbsDir(c.Dir) },
			Set: func(c *Config, v string) error { return setDir(c, v) }},
		protected(fileName("filename", stringParam("dbfilename", "dump.rdb", func(c *Config) *string { return &c.DBFilename }))),
		{Name: "save", multi: true,
			Get: func(c *Config) string {
				var w []string
				for _, p := range c.Save {
					w = append(w, itoa(p.Seconds), itoa(p.Changes))
				}
				return strings.Join(w, " ")
			},
			Set: func(c *Config, v string) (err error) { c.Save, err = parseSave(v); return err }},
		boolParam("rdbcompression", true, func(c *Config) *bool { return &c.RDBCompression }),
		fixed(boolParam("rdbchecksum", true, func(c *Config) *bool { return &c.RDBChecksum })),
		boolParam("stop-writes-on-bgsave-error", true, func(c *Config) *bool { return &c.StopWritesOnError }),
		settled(boolParam("appendonly", false, func(c *Config) *bool { return &c.AppendOnly })),
		fileName("filename", fixed(stringParam("appendfilename", "appendonly.aof", func(c *Config) *string { return &c.AppendFilename }))),
		fileName("dirname", fixed(stringParam("appenddirname", "appendonlydir", func(c *Config) *string { return &c.AppendDirname }))),
		enumParam("appendfsync", "everysec", func(c *Config) *string { return &c.AppendFsync }, "everysec", "always", "no"),
		boolParam("aof-load-truncated", true, func(c *Config) *bool { return &c.AOFLoadTruncated }),
		boolParam("aof-use-rdb-preamble", true, func(c *Config) *bool { return &c.AOFUseRDBPreamble }),
		boolParam("aof-timestamp-enabled", false, func(c *Config) *bool { return &c.AOFTimestampEnabled }),
		intParam("auto-aof-rewrite-percentage", 100, 0, maxInt, func(c *Config) *int64 { return &c.AutoRewritePercent }),
		memParam("auto-aof-rewrite-min-size", "64mb", func(c *Config) *int64 { return &c.AutoRewriteMinSize }),
		boolParam("no-appendfsync-on-rewrite", false, func(c *Config) *bool { return &c.NoFsyncOnRewrite }),
	}
}

func backlogSize(c *Config) *int64 { return &c.ReplBacklogSize }

func replicationParams() []Param {
	return []Param{
		{Name: "replicaof", Alias: "slaveof", Immutable: true, multi: true, Get: func(c *Config) string { return c.ReplicaOf }, Set: parseMaster},
		stringParam("masterauth", "", func(c *Config) *string { return &c.MasterAuth }),
		stringParam("masteruser", "", func(c *Config) *string { return &c.MasterUser }),
		alias("slave-read-only", boolParam("replica-read-only", true, func(c *Config) *bool { return &c.ReplicaReadOnly })),
		alias("slave-serve-stale-data", boolParam("replica-serve-stale-data", true, func(c *Config) *bool { return &c.ReplicaServeStale })),
		alias("slave-priority", intParam("replica-priority", 100, 0, maxInt, func(c *Config) *int64 { return &c.ReplicaPriority })),
		alias("slave-announce-ip", stringParam("replica-announce-ip", "", func(c *Config) *string { return &c.ReplicaAnnounceIP })),
		alias("slave-announce-port", intParam("replica-announce-port", 0, 0, 65535, func(c *Config) *int64 { return &c.ReplicaAnnouncePort })),
		clamped(16<<10, maxLong, backlogSize, atLeast(1, memParam("repl-backlog-size", "1mb", backlogSize))),
		intParam("repl-backlog-ttl", 3600, 0, maxLong, func(c *Config) *int64 { return &c.ReplBacklogTTL }),
		alias("repl-ping-slave-period", intParam("repl-ping-replica-period", 10, 1, maxInt, func(c *Config) *int64 { return &c.ReplPingPeriod })),
		intParam("repl-timeout", 60, 1, maxInt, func(c *Config) *int64 { return &c.ReplTimeout }),
		boolParam("repl-diskless-sync", true, func(c *Config) *bool { return &c.ReplDisklessSync }),
		intParam("repl-diskless-sync-max-replicas", 0, 0, maxInt, func(c *Config) *int64 { return &c.ReplDisklessMax }),
		boolParam("repl-disable-tcp-nodelay", false, func(c *Config) *bool { return &c.ReplNoTCPNoDelay }),
		boolParam("replica-announced", true, func(c *Config) *bool { return &c.ReplicaAnnounced }),
		alias("slave-ignore-maxmemory", boolParam("replica-ignore-maxmemory", true, func(c *Config) *bool { return &c.ReplicaIgnoreMaxMemory })),
		intParam("repl-diskless-sync-delay", 5, 0, maxInt, func(c *Config) *int64 { return &c.ReplDisklessDelay }),
		alias("min-slaves-to-write", intParam("min-replicas-to-write", 0, 0, maxInt, func(c *Config) *int64 { return &c.MinReplicasToWrite })),
		alias("min-slaves-max-lag", intParam("min-replicas-max-lag", 10, 0, maxInt, func(c *Config) *int64 { return &c.MinReplicasMaxLag })),
	}
}

func multiWord(p Param) Param { p.multi = true; return p }

func encodingParams() []Param {
	return []Param{
		alias("hash-max-ziplist-entries", intParam("hash-max-listpack-entries", 512, 0, maxLong, func(c *Config) *int64 { return &c.HashMaxListpackEntries })),
		alias("hash-max-ziplist-value", memParam("hash-max-listpack-value", "64", func(c *Config) *int64 { return &c.HashMaxListpackValue })),
		intParam("set-max-intset-entries", 512, 0, maxLong, func(c *Config) *int64 { return &c.SetMaxIntsetEntries }),
		alias("zset-max-ziplist-entries", intParam("zset-max-listpack-entries", 128, 0, maxLong, func(c *Config) *int64 { return &c.ZSetMaxListpackEntries })),
		alias("zset-max-ziplist-value", memParam("zset-max-listpack-value", "64", func(c *Config) *int64 { return &c.ZSetMaxListpackValue })),
		alias("list-max-ziplist-size", intParam("list-max-listpack-size", -2, -1<<31, maxInt, func(c *Config) *int64 { return &c.ListMaxListpackSize })),
		memParam("stream-node-max-bytes", "4096", func(c *Config) *int64 { return &c.StreamNodeMaxBytes }),
		intParam("stream-node-max-entries", 100, 0, maxLong, func(c *Config) *int64 { return &c.StreamNodeMaxEntries }),
		memParam("hll-sparse-max-bytes", "3000", func(c *Config) *int64 { return &c.HLLSparseMaxBytes }),
	}
}

func outputLimitParam() Param {
	return Param{Name: "client-output-buffer-limit", multi: true,
		Get: func(c *Config) string {
			var w []string
			for i, l := range c.OutputLimits {
				w = append(w, fmt.Sprintf("%s %d %d %d", classNames[i], l.Hard, l.Soft, l.SoftSeconds))
			}
			return strings.Join(w, " ")
		},
		Set: func(c *Config, v string) error {
			words := splitValue(v)
			if len(words)%4 != 0 {
				return errors.New("Wrong number of arguments in buffer limit configuration.") //nolint:staticcheck // Redis's words
			}
			limits := c.OutputLimits
			for ; len(words) > 0; words = words[4:] {
				class := slices.Index(classNames[:], strings.Replace(strings.ToLower(words[0]), "replica", "slave", 1))
				if class < 0 {
					return errors.New("Invalid client class specified in buffer limit configuration.") //nolint:staticcheck // Redis's words
				}
				hard, err1 := Memory(words[1])
				soft, err2 := Memory(words[2])
				sec, err3 := parseSeconds(words[3])
				if err1 != nil || err2 != nil || err3 != nil || sec < 0 || max(hard, soft) > maxLong {
					return errors.New("Error in hard, soft or soft_seconds setting in buffer limit configuration.") //nolint:staticcheck // Redis's words
				}
				limits[class] = OutputLimit{int64(hard), int64(soft), sec}
			}
			c.OutputLimits = limits
			return nil
		}}
}

// IsPath reports whether the value is the path of a file or a directory.
func (p *Param) IsPath() bool {
	return slices.Contains([]string{"unixsocket", "aclfile", "logfile", "pidfile", "dir"}, p.Name) || strings.HasPrefix(p.Name, "tls-") &&
		(strings.HasSuffix(p.Name, "-file") || strings.HasSuffix(p.Name, "-dir"))
}

// OnlyDefault reports whether nothing but the default is accepted, because this server cannot do otherwise.
func (p *Param) OnlyDefault() bool { return p.kind == onlyDefault }

// Secret reports whether the value is nobody's to see.
func (p *Param) Secret() bool {
	return p.Name == "requirepass" || p.Name == "masterauth" || p.Name == "masteruser" ||
		p.Name == "tls-key-file-pass" || p.Name == "tls-client-key-file-pass"
}

func Find(name string) *Param {
	for i := range params {
		if p := &params[i]; p.Name == name || p.Alias == name && name != "" {
			return p
		}
	}
	return nil
}
