package enroll

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/internal/identity"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// bound is how long anything may take by the machine's clock.
const bound = 20 * time.Second

// hand is a clock that a test moves: who waits by it waits for the test.
type hand struct {
	waits chan time.Duration
	moved chan struct{}

	mu sync.Mutex
	at time.Time
}

func (h *hand) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

func (h *hand) wait(ctx context.Context, d time.Duration) bool {
	select {
	case h.waits <- d:
	case <-ctx.Done():
		return false
	}
	select {
	case <-h.moved:
		return true
	case <-ctx.Done():
		return false
	}
}

// joined is an agent that has joined, and waits.
type joined struct {
	*hand
	server *server
	link   *Link
	log    *log
	step   time.Duration // that it waits
}

type log struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(b)
}

func (l *log) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.String()
}

func join(t *testing.T) *joined {
	t.Helper()
	h := &hand{waits: make(chan time.Duration), moved: make(chan struct{}), at: time.Now().Round(0).Truncate(time.Second)}
	j := &joined{hand: h, server: newServer(t, h.now), log: &log{}}
	var err error
	j.link, err = Open(Config{
		Coordinator: identity.Client{Address: j.server.addr, CACertificate: j.server.pem, Token: "rfj-x"},
		Dir:         t.TempDir(), Machine: "m", Logger: hclog.New(&hclog.LoggerOptions{Output: j.log}),
	})
	if err != nil {
		t.Fatal(err)
	}
	j.link.clock = clock{h.now, h.wait}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		j.link.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	j.awaitStep(t)
	if n, _, _ := j.server.counts(); n != 1 {
		t.Fatalf("%d agents have joined: %s", n, j.log.text())
	}
	return j
}

func (j *joined) awaitStep(t *testing.T) {
	t.Helper()
	select {
	case j.step = <-j.waits:
	case <-time.After(bound):
		t.Fatalf("the agent does not wait: %s", j.log.text())
	}
}

// pass has the agent wait as long as it wants to, while its machine sleeps for so long more, and returns when it waits again.
func (j *joined) pass(t *testing.T, slept time.Duration) {
	t.Helper()
	j.mu.Lock()
	j.at = j.at.Add(j.step + slept)
	j.mu.Unlock()
	j.moved <- struct{}{}
	j.awaitStep(t)
}

// until lets time pass until something holds; not for more than limit.
func (j *joined) until(t *testing.T, what string, limit time.Duration, holds func() bool) {
	t.Helper()
	for from := j.now(); !holds(); {
		if passed := j.now().Sub(from); passed > limit {
			t.Fatalf("after %s not yet: %s; %s", passed, what, j.log.text())
		}
		j.pass(t, 0)
	}
}

func (j *joined) renewals() int {
	_, _, n := j.server.counts()
	return n
}

// call makes a call and returns when the certificate ends that was shown for it. A call that came as a connection was made anew is made
// again.
func (j *joined) call(t *testing.T) time.Time {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	for {
		_, err := recfleetv1.NewEnrollmentServiceClient(j.link).BeginEnroll(ctx, &recfleetv1.BeginEnrollRequest{})
		if err == nil {
			break
		}
		select {
		case <-ctx.Done():
			t.Fatalf("call: %v; %s", err, j.log.text())
		case <-time.After(20 * time.Millisecond):
		}
	}
	j.server.mu.Lock()
	defer j.server.mu.Unlock()
	return j.server.shownEnd
}

// shows checks that calls show the certificate that was given at a time.
func (j *joined) shows(t *testing.T, given time.Time) {
	t.Helper()
	if end := j.call(t); end.Sub(given.Add(life)).Abs() >= time.Second { // certificates have whole seconds
		t.Errorf("calls show a certificate that ends %s, not %s", end, given.Add(life))
	}
}

const life = identity.AgentCertificateLife

func TestACertificateIsRenewedAtTwoThirdsOfItsTime(t *testing.T) {
	j := join(t)
	last := j.now()
	for n := 1; n <= 4; n++ {
		j.until(t, "another certificate", life, func() bool { return j.renewals() == n })
		at := j.server.renewed[n-1]
		if after := at.Sub(last); after < 33*time.Minute || after > 47*time.Minute {
			t.Errorf("certificate %d was renewed after %s, not about 40m", n, after)
		}
		j.shows(t, at)
		last = at
	}
	if n, _, _ := j.server.counts(); n != 1 {
		t.Errorf("%d agents, not one", n)
	}
}

func TestRenewalIsTriedAgainWhenRefused(t *testing.T) {
	j := join(t)
	end := j.now().Add(life)
	j.server.set(true)
	j.until(t, "ten tries", life, func() bool { _, asked, _ := j.server.counts(); return asked >= 10 })
	if !j.now().Before(end) {
		t.Errorf("ten tries took until %s, the certificate ended %s", j.now(), end)
	}
	for i, at := range j.server.asked[1:] {
		if gap := at.Sub(j.server.asked[i]); gap > maxBackoff*7/6 {
			t.Errorf("try %d came %s after the one before", i+1, gap)
		}
	}
	j.shows(t, end.Add(-life))
	if said := j.log.text(); !strings.Contains(said, "agent was not admitted") || !strings.Contains(said, "not admitted; to have this machine join anew remove "+j.link.key.path) {
		t.Errorf("it does not say what is to be done: %s", said)
	}
	j.server.set(false)
	j.until(t, "another certificate", maxBackoff*7/6, func() bool { return j.renewals() == 1 })
	j.shows(t, j.server.renewed[0])
}

func TestRenewalIsTriedAgainUntilTheCoordinatorIsBack(t *testing.T) {
	j := join(t)
	end := j.now().Add(life)
	j.server.run.Stop()
	j.until(t, "an hour without a coordinator and a half", 2*life, func() bool { return j.now().After(end.Add(life / 2)) })
	if j.renewals() != 0 {
		t.Fatal("the coordinator is not away")
	}
	if n := strings.Count(j.log.text(), "agent is not enrolled"); n < 100 {
		t.Errorf("it was tried only %d times", n)
	}
	j.server.start(t)
	by := time.Now().Add(bound)
	for j.renewals() == 0 {
		if time.Now().After(by) {
			t.Fatalf("the coordinator is back, and no certificate is asked for: %s", j.log.text())
		}
		<-time.After(10 * time.Millisecond) // a connection that was refused is made anew by the machine's clock
		j.pass(t, 0)
	}
	j.shows(t, j.server.renewed[0])
	if n, _, _ := j.server.counts(); n != 1 {
		t.Errorf("%d agents, not one", n)
	}
}

// A timer stands still while the machine sleeps: nothing was asked for until 40 minutes of being awake had passed.
func TestAnAgentThatSleptPastItsCertificateGetsAnotherOneAtOnce(t *testing.T) {
	j := join(t)
	for range 5 {
		j.pass(t, 0)
	}
	j.pass(t, 3*time.Hour)
	if joined, asked, renewed := j.server.counts(); joined != 1 || asked != 1 || renewed != 1 {
		t.Fatalf("%d joined, %d times asked, %d certificates: %s", joined, asked, renewed, j.log.text())
	}
	j.shows(t, j.now())
	// Nobody knows it any more: it joins again.
	j.server.forget()
	j.pass(t, 3*time.Hour)
	if joined, _, _ := j.server.counts(); joined != 2 {
		t.Fatalf("%d joined: %s", joined, j.log.text())
	}
	j.shows(t, j.now())
	// Nor may it join again: it says so, and goes on asking.
	j.server.forget()
	j.server.set(true)
	j.pass(t, 3*time.Hour)
	if said := j.log.text(); !strings.Contains(said, "not admitted; start the agent with the token of an open enrollment") {
		t.Errorf("it does not say what is to be done: %s", said)
	}
	j.server.set(false)
	j.until(t, "joined again", maxBackoff*7/6, func() bool { n, _, _ := j.server.counts(); return n == 3 })
}

func TestAWallClockThatIsSetBackDoesNotPutARenewalOff(t *testing.T) {
	j := join(t)
	j.pass(t, -24*time.Hour)
	j.until(t, "another certificate", 47*time.Minute, func() bool { return j.renewals() == 1 })
}
