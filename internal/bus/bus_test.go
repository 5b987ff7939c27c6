package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a broker set up by the written configuration, with a coordinator on it.
type fixture struct {
	broker *Broker
	trust  *Trust
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	return newFixtureWith(t, func(*server.Options) {})
}

// newFixtureWith changes the server's configuration before it starts.
func newFixtureWith(t *testing.T, change func(*server.Options)) *fixture {
	t.Helper()
	dir := t.TempDir()
	authority, err := identity.OpenAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key := dir+"/nats.pem", dir+"/nats.key"
	if err := authority.WriteServerCertificate(nil, certificate, key); err != nil {
		t.Fatal(err)
	}
	trust, err := OpenTrust(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := dir + "/nats.conf"
	if err := trust.WriteServerConfig(path, FileConfig{
		Listen: "127.0.0.1:-1", StoreDir: dir + "/js", StoreBytes: 64 << 20, Certificate: certificate, PrivateKey: key,
	}); err != nil {
		t.Fatal(err)
	}
	options, err := server.ProcessConfigFile(path)
	if err != nil {
		t.Fatal(err)
	}
	options.NoSigs, options.NoLog = true, true
	change(options)
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server does not serve")
	}
	broker, err := DialBroker(t.Context(), BrokerConfig{
		Trust: trust, URLs: []string{"tls://" + s.Addr().String()}, CA: authority.CACertificate(), Logger: hclog.NewNullLogger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	return &fixture{broker, trust}
}

func (f *fixture) publisher(t *testing.T, session string) *Publisher {
	t.Helper()
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	grant, err := f.broker.GrantAgent(key.Public(), session)
	if err != nil {
		t.Fatal(err)
	}
	p, err := DialPublisher(t.Context(), ClientConfig{Key: key, Grant: grant, Logger: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func (f *fixture) reader(t *testing.T) *Reader {
	t.Helper()
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	grant, err := f.broker.GrantEncoder(key.Public(), "encoder1")
	if err != nil {
		t.Fatal(err)
	}
	r, err := DialReader(t.Context(), ClientConfig{Key: key, Grant: grant, Logger: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func (f *fixture) createSession(t *testing.T, session string) {
	t.Helper()
	if err := f.broker.CreateSession(t.Context(), session, 0); err != nil {
		t.Fatal(err)
	}
}

// segmentOf returns n chunks with a true chain.
func segmentOf(session string, segment, n int) []chunk.Chunk {
	start := time.UnixMicro(1_700_000_000_000_000).UTC()
	chain := chunk.Genesis(session)
	var offset int64
	var chunks []chunk.Chunk
	for seq := range n {
		payload := []byte(fmt.Sprintf("%s/%d/%d", session, segment, seq))
		sum := chunk.Sum(payload)
		chain = chain.Next(sum)
		chunks = append(chunks, chunk.Chunk{
			Session: session, Segment: segment, Seq: seq, Epoch: 1, Offset: offset, Sum: sum, Chain: chain,
			Frames: int64(seq + 1), Start: start, LastFrame: start.Add(time.Duration(seq) * time.Second), Width: 640, Height: 480,
			Bytes: len(payload), Payload: payload,
		})
		offset += int64(len(payload))
	}
	return chunks
}

func TestChunksGoInAndComeOut(t *testing.T) {
	f := newFixture(t)
	f.createSession(t, "aa")
	f.createSession(t, "aa") // idempotent
	p := f.publisher(t, "aa")
	const n = 3*readAhead + 1
	sent := segmentOf("aa", 1, n)
	for _, c := range append(sent, segmentOf("aa", 2, 2)...) {
		if err := p.Publish(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}

	headers, err := f.broker.Headers(t.Context(), "aa", 1)
	if err != nil || len(headers) != n {
		t.Fatalf("%d headers, %v", len(headers), err)
	}
	for i, h := range headers {
		want := sent[i]
		want.Payload = nil
		if fmt.Sprint(h) != fmt.Sprint(want) {
			t.Errorf("header %d:\n got %v\nwant %v", i, h, want)
		}
	}
	counts, err := f.broker.Segments(t.Context(), "aa")
	if err != nil || len(counts) != 2 || counts[1] != n || counts[2] != 2 {
		t.Errorf("segments %v, %v", counts, err)
	}

	r := f.reader(t)
	seq := 0
	if err := r.Read(t.Context(), "aa", 1, n, func(c chunk.Chunk) error {
		if c.Seq != seq || string(c.Payload) != string(sent[seq].Payload) || c.Chain != sent[seq].Chain {
			t.Errorf("chunk %d came as %v", seq, c)
		}
		seq++
		return nil
	}); err != nil || seq != n {
		t.Fatalf("read %d chunks, %v", seq, err)
	}
	if err := r.Read(t.Context(), "aa", 1, n+1, func(chunk.Chunk) error { return nil }); !errors.Is(err, ErrChunkMissing) {
		t.Errorf("one chunk too many: %v", err)
	}
	stop := errors.New("enough")
	if err := r.Read(t.Context(), "aa", 1, n, func(chunk.Chunk) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("a reader that stops: %v", err)
	}

	if err := f.broker.PurgeSegment(t.Context(), "aa", 1); err != nil {
		t.Fatal(err)
	}
	if counts, err := f.broker.Segments(t.Context(), "aa"); err != nil || len(counts) != 1 || counts[2] != 2 {
		t.Errorf("after the purge: %v, %v", counts, err)
	}
	for range 2 {
		if err := f.broker.DeleteSession(t.Context(), "aa"); err != nil {
			t.Fatal(err)
		}
	}
	if headers, err := f.broker.Headers(t.Context(), "aa", 2); err != nil || len(headers) != 0 {
		t.Errorf("after deletion: %v, %v", headers, err)
	}
	// A stream that does not answer may only lack a leader: that says nothing of the chunk.
	if err := r.Read(t.Context(), "aa", 2, 1, func(chunk.Chunk) error { return nil }); err == nil || errors.Is(err, ErrChunkMissing) {
		t.Errorf("read after deletion: %v", err)
	}
}

// What is stored first stays: a second publication succeeds and changes nothing.
func TestPublishingTwiceKeepsTheFirst(t *testing.T) {
	f := newFixture(t)
	f.createSession(t, "aa")
	p := f.publisher(t, "aa")
	c := segmentOf("aa", 1, 1)[0]
	if err := p.Publish(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	other := c
	other.Payload = []byte("other")
	other.Sum = chunk.Sum(other.Payload)
	if err := p.Publish(t.Context(), other); err != nil {
		t.Errorf("second publication: %v", err)
	}
	headers, err := f.broker.Headers(t.Context(), "aa", 1)
	if err != nil || len(headers) != 1 || headers[0].Sum != c.Sum {
		t.Errorf("the bus holds %v, %v", headers, err)
	}
}

func TestAFullBusIsAnErrorAtOnce(t *testing.T) {
	f := newFixture(t)
	if err := f.broker.CreateSession(t.Context(), "aa", 4096); err != nil {
		t.Fatal(err)
	}
	p := f.publisher(t, "aa")
	big := segmentOf("aa", 1, 1)[0]
	big.Payload = make([]byte, 8192)
	if err := p.Publish(t.Context(), big); !errors.Is(err, ErrFull) {
		t.Errorf("a full stream: %v", err)
	}
	f.createSession(t, "bb")
	p = f.publisher(t, "bb")
	c := segmentOf("bb", 1, 1)[0]
	c.Payload = make([]byte, chunk.MaxPayload)
	for c.Seq = 0; ; c.Seq++ {
		err := p.Publish(t.Context(), c)
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil || c.Seq > 64<<20/chunk.MaxPayload {
			t.Fatalf("a full store after %d chunks: %v", c.Seq, err)
		}
	}
}

func TestAnAgentMayPublishItsOwnSessionOnly(t *testing.T) {
	f := newFixture(t)
	f.createSession(t, "aa")
	f.createSession(t, "bb")
	p := f.publisher(t, "aa")
	if err := p.Publish(t.Context(), segmentOf("bb", 1, 1)[0]); !errors.Is(err, ErrRefused) {
		t.Errorf("another session's chunk: %v", err)
	}
	ask := func(subject string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err := p.conn.RequestWithContext(ctx, subject, []byte("{}"))
		return err
	}
	for _, subject := range []string{"$JS.API.INFO", "$JS.API.STREAM.PURGE.C_aa", "$JS.API.STREAM.DELETE.C_aa", directGet + "C_aa.chunks.aa.1.0", "$SYS.REQ.SERVER.PING"} {
		if err := ask(subject); err == nil {
			t.Errorf("an agent was answered on %s", subject)
		}
	}
	// The broker acknowledges to the reply subject that the publisher names: it must reach nothing from an agent's account.
	for i, reply := range []string{"chunks.bb.1.0", "$JS.API.STREAM.DELETE.C_bb", "$JS.API.STREAM.PURGE.C_bb"} {
		c := segmentOf("aa", 7, i+1)[i]
		m := toMessage(c)
		m.Reply = reply
		if err := p.conn.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Publish(t.Context(), segmentOf("aa", 9, 1)[0]); err != nil {
		t.Fatal(err)
	}
	if counts, err := f.broker.Segments(t.Context(), "bb"); err != nil || len(counts) != 0 {
		t.Errorf("the other session holds %v, %v", counts, err)
	}
	if _, err := f.broker.js.Stream(t.Context(), "C_bb"); err != nil {
		t.Errorf("the other session's stream: %v", err)
	}
}

func TestAnEncoderMayReadOnly(t *testing.T) {
	f := newFixture(t)
	f.createSession(t, "aa")
	r := f.reader(t)
	for _, subject := range []string{"chunks.aa.1.0", "$JS.API.STREAM.PURGE.C_aa", "$JS.API.INFO"} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if m, err := r.conn.RequestWithContext(ctx, subject, []byte("{}")); err == nil {
			t.Errorf("an encoder was answered on %s: %s", subject, m.Data)
		}
		cancel()
	}
	if counts, err := f.broker.Segments(t.Context(), "aa"); err != nil || len(counts) != 0 {
		t.Errorf("the session holds %v, %v", counts, err)
	}
}

func TestRightsAreSignedForSafeNamesOnly(t *testing.T) {
	f := newFixture(t)
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, session := range []string{"", "*", ">", "a.>", "A", strings.Repeat("a", 65)} {
		if _, err := f.broker.GrantAgent(key.Public(), session); err == nil {
			t.Errorf("a right was signed for session %q", session)
		}
	}
	for _, public := range []string{"", "x", f.trust.public(keyFleet)} {
		if _, err := f.broker.GrantAgent(public, "aa"); !errors.Is(err, ErrKey) {
			t.Errorf("a right was signed for key %q: %v", public, err)
		}
	}
}

// A right ends with its time, and a renewed one is taken up by itself.
func TestARightRunsOutAndIsRenewed(t *testing.T) {
	f := newFixture(t)
	f.createSession(t, "aa")
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	short, err := f.trust.agentJWT(key.Public(), "aa", 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	grant := f.broker.grant(short, "aa")
	p, err := DialPublisher(t.Context(), ClientConfig{Key: key, Grant: grant, Logger: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	status := p.conn.StatusChanged(nats.RECONNECTING)
	select {
	case <-status:
	case <-time.After(20 * time.Second):
		t.Fatal("the right never ran out")
	}
	fresh, err := f.broker.GrantAgent(key.Public(), "aa")
	if err != nil {
		t.Fatal(err)
	}
	p.Renew(fresh)
	c := segmentOf("aa", 1, 1)[0]
	deadline := time.Now().Add(20 * time.Second)
	for err = p.Publish(t.Context(), c); err != nil; err = p.Publish(t.Context(), c) {
		if time.Now().After(deadline) {
			t.Fatalf("after renewal: %v", err)
		}
	}
}

func TestAnUnsafeBrokerIsFound(t *testing.T) {
	f := newFixture(t)
	if err := f.broker.Check(t.Context()); err != nil {
		t.Error(err)
	}
	f = newFixtureWith(t, func(o *server.Options) { o.SyncAlways = false })
	if err := f.broker.Check(t.Context()); !errors.Is(err, ErrUnsafeBroker) {
		t.Errorf("a broker without sync_interval always: %v", err)
	}
}

func FuzzMessage(f *testing.F) {
	m := toMessage(segmentOf("aa", 1, 1)[0])
	f.Add(m.Subject, m.Header.Get(headerSize), m.Header.Get(headerSum), m.Header.Get(headerOffset))
	f.Add("chunks.*.1.0", "0x0", "zz", "-1")
	f.Fuzz(func(t *testing.T, subject, size, sum, offset string) {
		h := nats.Header{}
		for name, values := range m.Header {
			h[name] = values
		}
		h.Set(headerSize, size)
		h.Set(headerSum, sum)
		h.Set(headerOffset, offset)
		c, err := fromMessage(subject, h, []byte("x"))
		if err == nil && (!chunk.ValidSession(c.Session) || c.Segment < 0 || c.Seq < 0 || c.Offset < 0 || c.Width < 1 || c.Height < 1) {
			t.Errorf("taken: %+v", c)
		}
	})
}

func TestAConfigurationThatCannotBeQuotedIsRefused(t *testing.T) {
	f := newFixture(t)
	err := f.trust.WriteServerConfig(t.TempDir()+"/nats.conf", FileConfig{Listen: "x\"y", StoreDir: "d", Certificate: "c", PrivateKey: "k"})
	if err == nil {
		t.Error("a quote was written")
	}
}
