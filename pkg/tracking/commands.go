package tracking

import (
	"strings"

	"byor/pkg/engine"
	"byor/pkg/resp"
)

// The handlers of CLIENT TRACKING and its like, for whose peer is a Peer of this package's. They are exported, and not
// registered here, as CLIENT is a container that has much besides.

// options are those of CLIENT TRACKING.
type options struct {
	State
	prefixArgs []string
}

func (t *Table) parse(c *engine.Call) (o options, refused string) {
	for i := 3; i < len(c.Args); i++ {
		more := i+1 < len(c.Args)
		switch {
		case c.Is(i, "redirect") && more:
			i++
			if o.redirect != 0 {
				return o, "ERR A client can only redirect to a single other client"
			}
			id, ok := resp.ParseInt(c.Args[i])
			if !ok {
				return o, engine.ErrNotInt
			}
			if t.host.Session(id) == nil {
				return o, "ERR The client ID you want redirect to does not exist"
			}
			o.redirect = id
		case c.Is(i, "bcast"):
			o.bcast = true
		case c.Is(i, "optin"):
			o.optIn = true
		case c.Is(i, "optout"):
			o.optOut = true
		case c.Is(i, "noloop"):
			o.noLoop = true
		case c.Is(i, "prefix") && more:
			i++
			o.prefixArgs = append(o.prefixArgs, string(c.Args[i]))
		default:
			return o, engine.ErrSyntax
		}
	}
	return o, ""
}

// refusal says why the client cannot track in that way, as it tracks now.
func (o *options) refusal(now *State) string {
	switch {
	case !o.bcast && len(o.prefixArgs) > 0:
		return "ERR PREFIX option requires BCAST mode to be enabled"
	case now.on && now.bcast != o.bcast:
		return "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode."
	case o.bcast && (o.optIn || o.optOut):
		return "ERR OPTIN and OPTOUT are not compatible with BCAST"
	case o.optIn && o.optOut:
		return "ERR You can't specify both OPTIN mode and OPTOUT mode"
	case o.optIn && now.optOut, o.optOut && now.optIn:
		return "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode."
	case o.bcast:
		return overlap(o.prefixArgs, now.prefixes)
	}
	return ""
}

// overlap says which of the prefixes is a prefix of another one or the other way round: a client would be told twice.
// Redis 7.0 finds also that the second and a later one of those given overlap, but tracks them all the same and answers
// twice, with the error and with OK. Here the error is the answer.
func overlap(given, had []string) string {
	for i, p := range given {
		for _, other := range had {
			if beginsAlike(p, other) {
				return "ERR Prefix '" + p + "' overlaps with an existing prefix '" + other + "'. Prefixes for a single client must not overlap."
			}
		}
		for _, other := range given[i+1:] {
			if beginsAlike(p, other) {
				return "ERR Prefix '" + p + "' overlaps with another provided prefix '" + other + "'. Prefixes for a single client must not overlap."
			}
		}
	}
	return ""
}

func beginsAlike(a, b string) bool { return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) }

// of returns how the client tracks keys whose command it is, and where that is known.
func of(c *engine.Call) (*Table, *State) { return c.Session().Peer().(Peer).Tracks() }

// CmdTracking is CLIENT TRACKING.
func CmdTracking(c *engine.Call) {
	t, now := of(c)
	o, refused := t.parse(c)
	switch {
	case refused != "":
	case c.Is(2, "on"):
		if refused = o.refusal(now); refused == "" {
			t.track(c.Session(), o)
		}
	case c.Is(2, "off"):
		t.Untrack(c.Session())
	default:
		refused = engine.ErrSyntax
	}
	if refused != "" {
		c.Fail(refused)
		return
	}
	c.Reply.OK()
}

// CmdCaching is CLIENT CACHING.
func CmdCaching(c *engine.Call) {
	switch _, s := of(c); {
	case !s.on:
		c.Fail("ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled")
	case c.Is(2, "yes") && !s.optIn:
		c.Fail("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")
	case c.Is(2, "no") && !s.optOut:
		c.Fail("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")
	case c.Is(2, "yes"), c.Is(2, "no"):
		s.caching = true
		c.Reply.OK()
	default:
		c.Fail(engine.ErrSyntax)
	}
}

// CmdGetredir is CLIENT GETREDIR.
func CmdGetredir(c *engine.Call) {
	_, s := of(c)
	c.Reply.Int(s.Redirection())
}

// CmdTrackinginfo is CLIENT TRACKINGINFO.
func CmdTrackinginfo(c *engine.Call) {
	_, s := of(c)
	flags := []string{"off"}
	if s.on {
		flags[0] = "on"
	}
	for _, f := range []struct {
		is   bool
		name string
	}{
		{s.bcast, "bcast"}, {s.optIn, "optin"}, {s.optIn && s.caching, "caching-yes"}, {s.optOut, "optout"},
		{s.optOut && s.caching, "caching-no"}, {s.noLoop, "noloop"}, {s.broken, "broken_redirect"},
	} {
		if f.is {
			flags = append(flags, f.name)
		}
	}
	c.Reply.Map(3)
	c.Reply.BulkString("flags")
	c.Reply.Set(len(flags))
	for _, f := range flags {
		c.Reply.BulkString(f)
	}
	c.Reply.BulkString("redirect")
	c.Reply.Int(s.Redirection())
	c.Reply.BulkString("prefixes")
	c.Reply.Array(len(s.prefixes))
	for _, prefix := range s.prefixes {
		c.Reply.BulkString(prefix)
	}
}
