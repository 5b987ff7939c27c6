// Package shield stands between the network and the handlers of the HTTP side, and, against agents that call too often, of gRPC's (Calls).
//
// What comes in are requests as browsers, scripts and attackers make them; what goes on to the handlers are those that are
// short enough, not too many from one address or one visitor, and not another site's. What goes out tells a browser to trust
// nothing but the page, to keep nothing, and to tell nobody where it was. What always holds: every answer has these headers,
// errors included; a request that is read or answered too slowly ends; what is kept of addresses and visitors is bounded; a
// handler that panics answers 500 and says nothing of why.
package shield

import (
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"
)

const (
	maxURL   = 8 << 10
	maxBody  = 16 << 10
	bodyTime = 15 * time.Second
	// stallTime is how long a browser may take nothing of an answer.
	stallTime = time.Minute
)

// What one address and one visitor may ask for each second, and at once. An office may share an address; a player asks for
// many small ranges when somebody seeks.
const (
	addressRate, addressBurst = 50, 500
	visitorRate, visitorBurst = 25, 250
)

// Config is what a shield needs.
type Config struct {
	// Visitor returns what tells visitors apart, and nothing where nobody is known. It must be quick.
	Visitor func(*http.Request) string
	// Media is the origin of another site that mp4s may come from; empty for none.
	Media string
	// Now is the time; time.Now where it is nil.
	Now func() time.Time
	// BodyTime bounds how long a request's body may take, and the answer to it; 15 s where it is 0.
	BodyTime time.Duration
	Logger   hclog.Logger
}

// Headers sets what every answer says.
func Headers(h http.Header) { headers(h, "") }

func headers(h http.Header, media string) {
	if media != "" {
		media = " " + media
	}
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'"+media+"; "+
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Permissions-Policy", "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store, private")
}

// New returns next behind a shield.
func New(cfg Config, next http.Handler) http.Handler {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.BodyTime == 0 {
		cfg.BodyTime = bodyTime
	}
	s := &shield{
		cfg: cfg, next: http.NewCrossOriginProtection().Handler(next),
		addresses: newBuckets(addressRate, addressBurst, cfg.Now), visitors: newBuckets(visitorRate, visitorBurst, cfg.Now),
	}
	return s
}

type shield struct {
	cfg                 Config
	next                http.Handler
	addresses, visitors *buckets
}

// ServeHTTP serves what is let through.
func (s *shield) ServeHTTP(plain http.ResponseWriter, r *http.Request) {
	w := &answer{ResponseWriter: plain, control: http.NewResponseController(plain), media: s.cfg.Media}
	headers(w.Header(), w.media)
	defer func() { s.settle(w, r, recover()) }()
	w.extend()
	if len(r.RequestURI) > maxURL {
		Refuse(w, http.StatusRequestURITooLong)
		return
	}
	if wait := s.addresses.take(Network(r.RemoteAddr)); wait > 0 {
		Later(w, wait)
		return
	}
	if visitor := s.cfg.Visitor(r); visitor != "" {
		if wait := s.visitors.take(visitor); wait > 0 {
			Later(w, wait)
			return
		}
	}
	if r.ContentLength != 0 {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			w.Header().Set("Connection", "close")
			Refuse(w, http.StatusBadRequest)
			return
		}
		// What has a body is answered within this time as well: past it net/http takes the browser for gone.
		_ = w.control.SetReadDeadline(time.Now().Add(s.cfg.BodyTime)) // one that has none, as in tests, does not wait either
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	s.next.ServeHTTP(w, r)
}

// settle answers for a handler that panicked, and ends the answer that it had begun.
func (s *shield) settle(w *answer, r *http.Request, panicked any) {
	switch panicked {
	case nil:
		return
	case http.ErrAbortHandler:
		panic(panicked)
	}
	s.cfg.Logger.Error("request panicked", "method", r.Method, "route", r.Pattern, "panic", fmt.Sprint(panicked), "stack", string(debug.Stack()))
	if w.begun {
		panic(http.ErrAbortHandler)
	}
	Refuse(w, http.StatusInternalServerError)
}

// Refuse answers with what a status means and no more.
func Refuse(w http.ResponseWriter, status int) { http.Error(w, http.StatusText(status), status) }

// Later says when to try again.
func Later(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	Refuse(w, http.StatusTooManyRequests)
}

// answer is an http.ResponseWriter that keeps the headers, whatever was taken out of them, and waits for no browser that
// takes nothing.
type answer struct {
	http.ResponseWriter
	control *http.ResponseController
	begun   bool
	media   string // as of the Config
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader lets the answer begin.
func (a *answer) WriteHeader(status int) {
	if !a.begun {
		headers(a.Header(), a.media) // http.Error and http.ServeContent take some out
		a.begun = status >= http.StatusOK
	}
	a.extend()
	a.ResponseWriter.WriteHeader(status)
}

// Write sends the next piece.
func (a *answer) Write(b []byte) (int, error) {
	if !a.begun {
		a.WriteHeader(http.StatusOK)
	}
	a.extend()
	return a.ResponseWriter.Write(b)
}

func (a *answer) extend() {
	_ = a.control.SetWriteDeadline(time.Now().Add(stallTime)) // one that has none, as in tests, does not wait either
}
