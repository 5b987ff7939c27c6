package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

const (
	// patience is how long an answer is waited for that is not to come.
	patience = 150 * time.Millisecond
	dialTime = 5 * time.Second
)

// connect is NATS without any of the product's care. refused counts what the broker complained of.
func (a *agent) connect(token string, pair nkeys.KeyPair, refused *atomic.Int64) (*nats.Conn, error) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(a.grant.CA))
	return nats.Connect(strings.Join(a.grant.URLs, ","), nats.Secure(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}), nats.TLSHandshakeFirst(),
		nats.UserJWT(func() (string, error) { return token, nil }, func(nonce []byte) ([]byte, error) { return pair.Sign(nonce) }),
		nats.CustomInboxPrefix(a.grant.InboxPrefix), nats.NoReconnect(), nats.Timeout(dialTime),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) { refused.Add(1) }))
}

// onBus is a trick that needs a connection with the attacker's right.
func (s *stage) onBus(name string, try func(ctx context.Context, c *nats.Conn, refused *atomic.Int64) (string, bool, error)) trick {
	return trick{name, func(ctx context.Context) (string, bool, error) {
		var refused atomic.Int64
		c, err := s.attacker.connect(s.attacker.grant.JWT, s.attacker.pair, &refused)
		if err != nil {
			return "", false, err // nothing was tried
		}
		defer c.Close()
		return try(ctx, c, &refused)
	}}
}

// asked is a trick that wants an answer on any of some subjects.
func (s *stage) asked(name string, subjects ...string) trick {
	return s.onBus(name, func(ctx context.Context, c *nats.Conn, refused *atomic.Int64) (string, bool, error) {
		for _, subject := range subjects {
			ctx, cancel := context.WithTimeout(ctx, patience)
			_, err := c.RequestWithContext(ctx, subject, []byte(`{"last_by_subj":"chunks.>"}`))
			cancel()
			if err == nil {
				return "answered on " + subject, true, nil
			}
		}
		_ = c.FlushTimeout(dialTime)
		return fmt.Sprintf("%d tried, %d refused, none answered", len(subjects), refused.Load()), refused.Load() < int64(len(subjects)), nil
	})
}

// sent is a trick that publishes some messages; what they did is seen in the honest session.
func (s *stage) sent(name string, messages ...*nats.Msg) trick {
	return s.refused(name, 0, messages...)
}

// refused is sent of which the broker is to refuse some.
func (s *stage) refused(name string, least int64, messages ...*nats.Msg) trick {
	return s.onBus(name, func(ctx context.Context, c *nats.Conn, refused *atomic.Int64) (string, bool, error) {
		for _, m := range messages {
			if err := c.PublishMsg(m); err != nil {
				return err.Error(), false, nil //nolint:nilerr // it is the outcome
			}
		}
		if err := c.FlushTimeout(dialTime); err != nil {
			return "cut off: " + err.Error(), false, nil //nolint:nilerr // it is the outcome
		}
		select { // complaints come apart
		case <-ctx.Done():
		case <-time.After(patience):
		}
		return fmt.Sprintf("%d sent, %d refused", len(messages), refused.Load()), refused.Load() < least, nil
	})
}

func message(subject, reply string, header ...string) *nats.Msg {
	m := nats.NewMsg(subject)
	m.Reply, m.Data = reply, []byte("evil")
	for i := 0; i+1 < len(header); i += 2 {
		m.Header.Set(header[i], header[i+1])
	}
	return m
}

func (s *stage) busTricks() []trick {
	own, theirs := s.attacker.session, s.victim.session
	mine, other := "chunks."+own+".1.", "chunks."+theirs+".1."
	stream := "C_" + theirs
	var replies, ids, rollups, odd []*nats.Msg
	for i, reply := range []string{
		other + "0", other + "999999", "$JS.API.STREAM.DELETE." + stream, "$JS.API.STREAM.PURGE." + stream, "$JS.API.STREAM.UPDATE." + stream, "$KV.sessions.x",
		"$SYS.REQ.SERVER.PING", "_INBOX.x", ">", "chunks.>",
	} {
		replies = append(replies, message(fmt.Sprint(mine, 100+i), reply))
	}
	for i := range 50 {
		for k, id := range []string{"chunks." + theirs + ".1." + fmt.Sprint(s.victim.count()+i), theirs + fmt.Sprint(i)} {
			ids = append(ids, message(fmt.Sprint(mine, 1000+2*i+k), "", nats.MsgIdHdr, id))
		}
	}
	for i, subject := range []string{mine + "2000", other + "0", "$KV.sessions." + theirs, mine + "2001"} {
		rollups = append(rollups, message(subject, "", "Nats-Rollup", []string{"all", "sub"}[i%2]))
	}
	for i, name := range []string{
		"Nats-Expected-Stream", "Nats-Expected-Last-Sequence", "Nats-Expected-Last-Msg-Id", "Nats-TTL", "Nats-Schedule", "Nats-Schedule-Target", "Nats-Incr",
		"Nats-Trace-Dest", "Nats-Batch-Id", "Nats-Subject", "Nats-Stream", "Nats-Sequence", "Nats-Service-Error", "Nats-Request-Info",
	} {
		odd = append(odd, message(fmt.Sprint(mine, 3000+i), "", name, other+"0"))
	}
	return []trick{
		s.refused("another session's subjects", 5, message(other+"0", ""), message(other+"999999", ""), message("chunks."+theirs+".2.0", ""), message("chunks.*.1.0", ""), message("chunks.>", "")),
		s.asked("JetStream's API", "$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.STREAM.INFO."+stream, "$JS.API.STREAM.PURGE."+stream,
			"$JS.API.STREAM.DELETE."+stream, "$JS.API.STREAM.UPDATE."+stream, "$JS.API.STREAM.CREATE.evil", "$JS.API.STREAM.MSG.GET."+stream, "$JS.API.STREAM.MSG.DELETE."+stream,
			"$JS.API.CONSUMER.CREATE."+stream, "$JS.API.STREAM.SNAPSHOT."+stream, "$JS.API.STREAM.RESTORE."+stream),
		s.asked("reading chunks", "$JS.API.DIRECT.GET."+stream, "$JS.API.DIRECT.GET."+stream+"."+other+"0", "$JS.API.DIRECT.GET.C_"+own+"."+mine+"0"),
		s.asked("key-value buckets", "$KV.sessions.x", "$JS.API.STREAM.CREATE.KV_evil", "$JS.API.DIRECT.GET.KV_sessions.$KV.sessions.x"),
		s.asked("the system's account", "$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.ACCOUNT.PING.CONNZ", "$SYS.REQ.CLAIMS.UPDATE"),
		s.subscribed(),
		s.sent("chosen reply subjects", replies...),
		s.sent("foreign message ids", ids...),
		s.sent("rollups", rollups...),
		s.sent("other headers of the broker", odd...),
		s.sent("other bytes on a chunk's subject", message(mine+"4000", ""), message(mine+"4000", "", "Rf-Sum", "x"), message(other+"0", "", "Rf-Sum", "x")),
		s.onBus("payloads that are too long", func(_ context.Context, c *nats.Conn, refused *atomic.Int64) (string, bool, error) {
			m := nats.NewMsg(mine + "5000")
			m.Data = make([]byte, 900<<10)
			if err := errors.Join(c.PublishMsg(m), c.FlushTimeout(dialTime)); err != nil || refused.Load() > 0 {
				return "refused", false, nil //nolint:nilerr // it is the outcome
			}
			return "taken", true, nil
		}),
		{"rights that are not one's own", s.forged},
	}
}

// subscribed tries to listen to others.
func (s *stage) subscribed() trick {
	subjects := []string{">", "*", "chunks.>", "chunks." + s.victim.session + ".>", "chunks." + s.attacker.session + ".>", "$JS.>", "$SYS.>", "$KV.>", "_INBOX.>", "_INBOX_*.>", "_INBOX_" + s.victim.session + ".>", "*.>"}
	return s.onBus("subscriptions", func(ctx context.Context, c *nats.Conn, refused *atomic.Int64) (string, bool, error) {
		var heard atomic.Int64
		for _, subject := range subjects {
			if _, err := c.Subscribe(subject, func(*nats.Msg) { heard.Add(1) }); err != nil {
				return "", false, err
			}
		}
		_ = c.FlushTimeout(dialTime)
		select { // the honest session publishes meanwhile
		case <-ctx.Done():
		case <-time.After(2 * patience):
		}
		if heard.Load() > 0 || refused.Load() < int64(len(subjects)) {
			return fmt.Sprintf("%d of %d refused, %d messages heard", refused.Load(), len(subjects), heard.Load()), true, nil
		}
		return fmt.Sprintf("%d tried, all refused, nothing heard", len(subjects)), false, nil
	})
}

// forged shows rights that were changed, are somebody else's, or have run out.
func (s *stage) forged(context.Context) (string, bool, error) {
	var refused atomic.Int64
	claims, err := jwt.DecodeUserClaims(s.attacker.grant.JWT)
	if err != nil {
		return "", false, err
	}
	stranger, err := nkeys.CreateAccount()
	if err != nil {
		return "", false, err
	}
	signed := func(change func(*jwt.UserClaims), by nkeys.KeyPair) string {
		c := *claims
		change(&c)
		token, err := c.Encode(by)
		if err != nil {
			return err.Error()
		}
		return token
	}
	parts := strings.Split(s.attacker.grant.JWT, ".")
	user, err := nkeys.CreateUser()
	if err != nil {
		return "", false, err
	}
	tried := map[string]struct {
		token string
		pair  nkeys.KeyPair
	}{
		"another's key":               {s.attacker.grant.JWT, user},
		"another's right":             {s.victim.grant.JWT, s.attacker.pair},
		"signed by a stranger":        {signed(func(c *jwt.UserClaims) { c.Permissions = jwt.Permissions{} }, stranger), s.attacker.pair},
		"signed by oneself":           {signed(func(c *jwt.UserClaims) { c.Expires = 0 }, stranger), s.attacker.pair},
		"run out":                     {signed(func(c *jwt.UserClaims) { c.Expires = time.Now().Add(-time.Hour).Unix() }, stranger), s.attacker.pair},
		"another body, the signature": {parts[0] + "." + strings.Split(s.victim.grant.JWT, ".")[1] + "." + parts[2], s.attacker.pair},
		"none":                        {"", s.attacker.pair},
	}
	for name, one := range tried {
		if c, err := s.attacker.connect(one.token, one.pair, &refused); err == nil {
			c.Close()
			return name + " was let in", true, nil
		}
	}
	return fmt.Sprintf("%d tried, none let in", len(tried)), false, nil
}
