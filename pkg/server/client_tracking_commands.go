package server

import (
	"slices"
	"strings"

	"byor/pkg/engine"
	"byor/pkg/resp"
)

// clientTracking is how a client tracks keys.
type clientTracking struct {
	on, bcast, optIn, optOut, noLoop bool

	caching  bool     // CLIENT CACHING was given for what comes next
	redirect int64    // who is told instead of it, by ID; 0: itself
	broken   bool     // that client is gone
	prefixes []string // with bcast, in order
}

// trackingOptions are those of CLIENT TRACKING.
type trackingOptions struct {
	clientTracking
	prefixArgs []string
}

func parseTracking(c *client) (o trackingOptions, refused string) {
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
			if c.s.clients[id] == nil {
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
func (o *trackingOptions) refusal(now *clientTracking) string {
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

func cmdClientTracking(c *client) {
	o, refused := parseTracking(c)
	switch {
	case refused != "":
	case c.Is(2, "on"):
		if refused = o.refusal(&c.tracks); refused == "" {
			c.track(o)
		}
	case c.Is(2, "off"):
		c.untrack()
	default:
		refused = engine.ErrSyntax
	}
	if refused != "" {
		c.Fail(refused)
		return
	}
	c.Reply.OK()
}

// track lets the client track as the options say.
func (c *client) track(o trackingOptions) {
	t := &c.s.tracking
	if !c.tracks.on {
		t.clients++
	}
	o.on, o.caching, o.prefixes = true, c.tracks.caching, c.tracks.prefixes
	c.tracks = o.clientTracking
	if o.bcast {
		if len(o.prefixArgs) == 0 {
			o.prefixArgs = []string{""}
		}
		for _, prefix := range o.prefixArgs {
			c.trackPrefix(prefix)
		}
	} else {
		c.Mode |= engine.ModeTracks
	}
	c.s.listenToKeys()
}

func (c *client) trackPrefix(prefix string) {
	t := &c.s.tracking
	p := t.prefixes[prefix]
	if p == nil {
		if t.prefixes == nil {
			t.prefixes = map[string]*trackedPrefix{}
		}
		p = &trackedPrefix{clients: map[*client]struct{}{}, changed: map[string]*engine.Session{}}
		t.prefixes[prefix] = p
	}
	p.clients[c] = struct{}{}
	if at, found := slices.BinarySearch(c.tracks.prefixes, prefix); !found {
		c.tracks.prefixes = slices.Insert(c.tracks.prefixes, at, prefix)
	}
}

// untrack ends that the client tracks. What it has read stays remembered, as in Redis: it may track again.
func (c *client) untrack() {
	if !c.tracks.on {
		return
	}
	t := &c.s.tracking
	for _, prefix := range c.tracks.prefixes {
		p := t.prefixes[prefix]
		if delete(p.clients, c); len(p.clients) == 0 {
			delete(t.prefixes, prefix)
		}
	}
	t.clients--
	c.tracks = clientTracking{}
	c.Mode &^= engine.ModeTracks
	c.s.listenToKeys()
}

func cmdClientCaching(c *client) {
	switch tr := &c.tracks; {
	case !tr.on:
		c.Fail("ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled")
	case c.Is(2, "yes") && !tr.optIn:
		c.Fail("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")
	case c.Is(2, "no") && !tr.optOut:
		c.Fail("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")
	case c.Is(2, "yes"), c.Is(2, "no"):
		tr.caching = true
		c.Reply.OK()
	default:
		c.Fail(engine.ErrSyntax)
	}
}

// redirection is what CLIENT GETREDIR and others show: -1 where nothing is tracked.
func (c *client) redirection() int64 {
	if !c.tracks.on {
		return -1
	}
	return c.tracks.redirect
}

func cmdClientGetredir(c *client) { c.Reply.Int(c.redirection()) }

func cmdClientTrackinginfo(c *client) {
	tr := &c.tracks
	flags := []string{"off"}
	if tr.on {
		flags[0] = "on"
	}
	for _, f := range []struct {
		is   bool
		name string
	}{
		{tr.bcast, "bcast"}, {tr.optIn, "optin"}, {tr.optIn && tr.caching, "caching-yes"}, {tr.optOut, "optout"},
		{tr.optOut && tr.caching, "caching-no"}, {tr.noLoop, "noloop"}, {tr.broken, "broken_redirect"},
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
	c.Reply.Int(c.redirection())
	c.Reply.BulkString("prefixes")
	c.Reply.Array(len(tr.prefixes))
	for _, prefix := range tr.prefixes {
		c.Reply.BulkString(prefix)
	}
}
