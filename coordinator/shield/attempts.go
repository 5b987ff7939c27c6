package shield

import (
	"net/http"
	"sync"
	"time"
)

// Of sign-ins that fail the first few cost nothing; each one after them makes the next wait twice as long.
const (
	freeAttempts           = 5
	firstBackoff, maxPause = time.Second, 5 * time.Minute
	// forgiven is how long after the last failure nothing is held against an address any more.
	forgiven = 15 * time.Minute
)

// Attempts lets nobody try sign-ins at will. It is safe for concurrent use.
type Attempts struct {
	now func() time.Time
	mu  sync.Mutex
	of  map[string]failures
}

// failures are what an address has failed with.
type failures struct {
	count int
	last  time.Time
	next  time.Time // before then nothing is tried
}

// NewAttempts returns one that has seen nothing. now is time.Now where it is nil.
func NewAttempts(now func() time.Time) *Attempts {
	if now == nil {
		now = time.Now
	}
	return &Attempts{now: now, of: map[string]failures{}}
}

// Limit returns a handler that asks next only where the address has not failed too often of late. An answer of 403 is a
// failure, one below 400 forgives the failures before.
func (a *Attempts) Limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		address := Network(r.RemoteAddr)
		if wait := a.begin(address); wait > 0 {
			Later(w, wait)
			return
		}
		seen := &observed{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(seen, r)
		if seen.status < http.StatusBadRequest {
			a.forgive(address)
		} else if seen.status != http.StatusForbidden {
			a.undo(address)
		}
	})
}

// begin counts an attempt as failed, so that those made at once count as well, or returns how long to wait for it.
func (a *Attempts) begin(address string) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	f := a.of[address]
	if now.Sub(f.last) > forgiven {
		f = failures{}
	}
	if wait := f.next.Sub(now); wait > 0 {
		return wait
	}
	if f.count == 0 {
		a.makeRoom(now)
	}
	f.count++
	f.last = now
	if more := f.count - freeAttempts; more >= 0 {
		f.next = now.Add(min(maxPause, firstBackoff<<min(more, 16)))
	}
	a.of[address] = f
	return 0
}

// undo takes back an attempt that said nothing of the token.
func (a *Attempts) undo(address string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if f := a.of[address]; f.count > 0 {
		f.count--
		f.next = time.Time{}
		a.of[address] = f
	}
}

func (a *Attempts) forgive(address string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.of, address)
}

// makeRoom forgets the oldest failures of a few addresses.
func (a *Attempts) makeRoom(now time.Time) {
	if len(a.of) < maxKeys {
		return
	}
	const few = 64
	looked, oldest, last := 0, "", now.Add(time.Hour)
	for address, f := range a.of {
		if f.last.Before(last) {
			oldest, last = address, f.last
		}
		if looked++; looked == few {
			break
		}
	}
	delete(a.of, oldest)
}

// observed remembers the status of an answer.
type observed struct {
	http.ResponseWriter
	status int
}

// Unwrap is for http.ResponseController.
func (o *observed) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// WriteHeader lets the answer begin.
func (o *observed) WriteHeader(status int) {
	o.status = status
	o.ResponseWriter.WriteHeader(status)
}
