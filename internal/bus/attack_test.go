package bus

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/recfleet/recfleet/internal/chunk"
)

// A publisher that names another session's message id first must not have the other's chunk taken for a duplicate.
func TestAForeignMessageIDSwallowsNothing(t *testing.T) {
	f := newFixture(t)
	f.createSession(t, "aa")
	f.createSession(t, "bb")
	attacker, victim := f.publisher(t, "aa"), f.publisher(t, "bb")
	theirs := segmentOf("bb", 1, 1)[0]
	for i, id := range []string{"chunks.bb.1.0", theirs.Sum.String(), "bb.1.0", "bb/1/0"} {
		m := toMessage(segmentOf("aa", 1, i+1)[i])
		m.Header.Set(nats.MsgIdHdr, id)
		ctx, cancel := context.WithTimeout(t.Context(), requestTimeout)
		if _, err := attacker.conn.RequestMsgWithContext(ctx, m); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	if err := victim.Publish(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	// Even an id that the victim itself would use is of no account in its stream.
	if got, err := f.broker.Headers(t.Context(), "bb", 1); err != nil || len(got) != 1 || got[0].Sum != theirs.Sum {
		t.Errorf("the bus holds %v, %v", got, err)
	}
}

// A rollup header must wipe no keys of a bucket, and no chunks.
func TestARollupWipesNothing(t *testing.T) {
	f := newFixture(t)
	bucket, err := f.broker.js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "sessions"})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"aa", "bb"} {
		if _, err := bucket.PutString(t.Context(), k, "kept"); err != nil {
			t.Fatal(err)
		}
	}
	f.createSession(t, "aa")
	p := f.publisher(t, "aa")
	for _, c := range segmentOf("aa", 1, 3) {
		if err := p.Publish(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for _, rollup := range []string{"all", "sub"} {
		for _, subject := range []string{"chunks.aa.1.3", "chunks.aa.1.0", "$KV.sessions.aa", "$KV.sessions.bb"} {
			for _, reply := range []string{"", "$KV.sessions.bb"} {
				m := nats.NewMsg(subject)
				m.Header.Set("Nats-Rollup", rollup)
				m.Reply = reply
				if err := p.conn.PublishMsg(m); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := p.Publish(t.Context(), segmentOf("aa", 2, 1)[0]); err != nil { // all before it was dealt with
		t.Fatal(err)
	}
	for _, k := range []string{"aa", "bb"} {
		if e, err := bucket.Get(t.Context(), k); err != nil || string(e.Value()) != "kept" {
			t.Errorf("key %s: %v", k, err)
		}
	}
	if got, err := f.broker.Headers(t.Context(), "aa", 1); err != nil || len(got) != 3 {
		t.Errorf("the bus holds %d chunks of the segment, %v", len(got), err)
	}
}

// A chunk that is there stays as it is, whoever publishes what on its subject.
func TestASecondChunkOnASubjectChangesNothing(t *testing.T) {
	f := newFixture(t)
	f.createSession(t, "aa")
	p := f.publisher(t, "aa")
	c := segmentOf("aa", 1, 1)[0]
	if err := p.Publish(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	other := c
	other.Payload = []byte("something else")
	other.Sum = chunk.Sum(other.Payload)
	if err := p.Publish(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Nats-Expected-Stream", "Nats-Expected-Last-Sequence", "Nats-TTL", "Nats-Schedule", "Nats-Incr"} {
		m := toMessage(other)
		m.Header.Set(name, "1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, _ = p.conn.RequestMsgWithContext(ctx, m) // whatever it answers
		cancel()
	}
	if got, err := f.broker.Headers(t.Context(), "aa", 1); err != nil || len(got) != 1 || got[0].Sum != c.Sum {
		t.Errorf("the bus holds %v, %v", got, err)
	}
}

// An encoder reads chunks by their subject, and that is all.
func TestAnEncoderReachesNothingElse(t *testing.T) {
	f := newFixture(t)
	f.createSession(t, "aa")
	p, r := f.publisher(t, "aa"), f.reader(t)
	c := segmentOf("aa", 1, 1)[0]
	if err := p.Publish(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	bucket, err := f.broker.js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "secrets"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.PutString(t.Context(), "k", "secret"); err != nil {
		t.Fatal(err)
	}
	stream := streamName("aa")
	for _, subject := range []string{
		"chunks.aa.1.1", "chunks.aa.9.0", "$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.STREAM.INFO." + stream,
		"$JS.API.STREAM.CREATE.x", "$JS.API.STREAM.UPDATE." + stream, "$JS.API.STREAM.PURGE." + stream, "$JS.API.STREAM.DELETE." + stream,
		"$JS.API.STREAM.MSG.GET." + stream, "$JS.API.STREAM.MSG.DELETE." + stream, "$JS.API.STREAM.SNAPSHOT." + stream, "$JS.API.STREAM.RESTORE." + stream,
		"$JS.API.CONSUMER.CREATE." + stream, "$JS.API.CONSUMER.CREATE." + stream + ".c.chunks.>", "$JS.API.CONSUMER.LIST." + stream,
		directGet + stream, directGet + "KV_secrets.$KV.secrets.k", "$JS.API.DIRECT.GET.KV_secrets", "$KV.secrets.k", "$JS.ACK.x",
		"$SYS.REQ.SERVER.PING", "$SYS.REQ.USER.INFO", "$SYS.REQ.ACCOUNT.PING.CONNZ", "$G.x", "_INBOX.x", inboxPrefix + "other.x",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		m, err := r.conn.RequestWithContext(ctx, subject, []byte(`{"seq":1}`))
		cancel()
		if err == nil {
			t.Errorf("an encoder was answered on %s: %s", subject, m.Data)
		}
	}
	for _, subject := range []string{">", "*", "chunks.>", "$JS.>", "$JS.EVENT.>", "$SYS.>", "$KV.>", "_INBOX.>", "_INBOX_*.>", inboxPrefix + "aa.>"} {
		refused := r.refused.Load()
		s, err := r.conn.SubscribeSync(subject)
		if err != nil {
			continue
		}
		deadline := time.Now().Add(10 * time.Second)
		for r.refused.Load() == refused && time.Now().Before(deadline) {
			_ = r.conn.FlushTimeout(time.Second)
		}
		if r.refused.Load() == refused {
			t.Errorf("an encoder may subscribe to %s", subject)
		}
		_ = s.Unsubscribe()
	}
	read := 0
	if err := r.Read(t.Context(), "aa", 1, 1, func(got chunk.Chunk) error {
		read++
		return nil
	}); err != nil || read != 1 {
		t.Errorf("its own duty: %d chunks, %v", read, err)
	}
	if counts, err := f.broker.Segments(t.Context(), "aa"); err != nil || len(counts) != 1 || counts[1] != 1 {
		t.Errorf("the session holds %v, %v", counts, err)
	}
}

// A key that was revoked is cut off at once and stays out; another agent's connection does not notice, and a key that is named no
// more is let in again.
func TestARevokedKeyIsCutOff(t *testing.T) {
	f := newFixture(t)
	f.createSession(t, "aa")
	f.createSession(t, "bb")
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	grant, err := f.broker.GrantAgent(key.Public(), "aa")
	if err != nil {
		t.Fatal(err)
	}
	p, err := DialPublisher(t.Context(), ClientConfig{Key: key, Grant: grant, Logger: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	other := f.publisher(t, "bb")
	lost := other.conn.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	cut := p.conn.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	if err := f.broker.Revoke(t.Context(), []string{key.Public()}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	select {
	case <-cut:
		t.Logf("cut off after %v", time.Since(began))
	case <-time.After(10 * time.Second):
		t.Fatal("the revoked key was not cut off")
	}
	if second, err := DialPublisher(t.Context(), ClientConfig{Key: key, Grant: grant, Logger: hclog.NewNullLogger()}); err == nil {
		second.Close()
		t.Error("the revoked key was let in again")
	}
	for _, c := range segmentOf("bb", 1, 20) {
		if err := other.Publish(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-lost:
		t.Error("another agent lost its connection")
	default:
	}
	if err := f.broker.Revoke(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	second, err := DialPublisher(t.Context(), ClientConfig{Key: key, Grant: grant, Logger: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
	if err := f.broker.Revoke(t.Context(), []string{"x"}); !errors.Is(err, ErrKey) {
		t.Error(err)
	}
}
