package web

import (
	"crypto/sha256"
	"net/http"
	"time"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
)

const (
	// reasonLife is how long what a visitor says of a session holds.
	reasonLife = 8 * time.Hour
	// Past this many sessions that a visit gives reasons for the oldest is forgotten.
	mostReasons = 100
	maxReason   = 512 // bytes
)

// reason is why a visitor wants to see a session, and until when that holds.
type reason struct {
	text string
	end  time.Time
}

// explain keeps why the visitor who sent a request wants to see a session.
func (v *visitors) explain(r *http.Request, session, text string) {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	found, ok := v.visits[sha256.Sum256([]byte(cookie.Value))]
	if !ok {
		return
	}
	delete(found.reasons, session)
	for len(found.reasons) >= mostReasons {
		oldest := session
		for id, one := range found.reasons {
			if o, ok := found.reasons[oldest]; !ok || one.end.Before(o.end) {
				oldest = id
			}
		}
		delete(found.reasons, oldest)
	}
	found.reasons[session] = reason{text, v.now().Add(reasonLife)}
}

// reason returns why the visitor who sent a request wants to see a session; empty where it did not say so.
func (v *visitors) reason(r *http.Request, session string) string {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return ""
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	found := v.visits[sha256.Sum256([]byte(cookie.Value))].reasons[session]
	if !v.now().Before(found.end) {
		return ""
	}
	return found.text
}

// Reason returns why a visitor wants to see a session.
func (p *page) Reason(r *http.Request, session string) string { return p.visitor.reason(r, session) }

// explain takes a reason and leads back to the session.
func (p *page) explain(w http.ResponseWriter, r *http.Request) {
	detail, ok := p.detail(w, r)
	if !ok {
		return
	}
	if err := r.ParseForm(); err != nil {
		p.failWith(w, r, http.StatusBadRequest, "the form cannot be read")
		return
	}
	text, err := r.PostForm.Get("reason"), checkField("reason", r.PostForm["reason"], maxReason)
	if err == nil && access.Blank(text) {
		err = &catalog.FilterError{Field: "reason", Problem: "is missing"}
	}
	if err != nil {
		p.failWith(w, r, http.StatusBadRequest, err.Error())
		return
	}
	p.visitor.explain(r, detail.Session.ID, text)
	http.Redirect(w, r, "/sessions/"+detail.Session.ID, http.StatusSeeOther)
}
