package web

import (
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"

	"github.com/recfleet/recfleet/coordinator/access"
)

const (
	cookieName = "__Host-recfleet"
	// A visit ends after a working day; a restart of the coordinator ends it too.
	visitLife = 10 * time.Hour
	// Past this many visits the oldest end.
	mostVisits = 1000
)

// visitors are the browsers that have signed in, known by the hash of their cookie.
type visitors struct {
	now    func() time.Time
	mu     sync.Mutex
	visits map[[sha256.Size]byte]visit
}

// visit is who came, and until when.
type visit struct {
	who access.Principal
	end time.Time
	// reasons are what it says of sessions, by their ids.
	reasons map[string]reason
}

func newVisitors(now func() time.Time) *visitors {
	return &visitors{now: now, visits: map[[sha256.Size]byte]visit{}}
}

// admit starts a visit and hands its cookie to the browser. Each sign-in is a new visit with a new cookie.
func (v *visitors) admit(w http.ResponseWriter, who access.Principal) {
	secret := rand.Text() + rand.Text()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.makeRoom()
	v.visits[sha256.Sum256([]byte(secret))] = visit{who, v.now().Add(visitLife), map[string]reason{}}
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: secret, Path: "/", MaxAge: int(visitLife.Seconds()),
		Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
}

func (v *visitors) makeRoom() {
	var oldest [sha256.Size]byte
	for id, one := range v.visits {
		if v.now().After(one.end) {
			delete(v.visits, id)
		} else if o, ok := v.visits[oldest]; !ok || one.end.Before(o.end) {
			oldest = id
		}
	}
	if len(v.visits) >= mostVisits {
		delete(v.visits, oldest)
	}
}

// visitor returns who sent a request, as it is by now; access.ErrStranger where nobody is known.
func (v *visitors) visitor(r *http.Request) (access.Principal, error) {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return access.Principal{}, access.ErrStranger
	}
	v.mu.Lock()
	found, ok := v.visits[sha256.Sum256([]byte(cookie.Value))]
	v.mu.Unlock()
	if !ok || !v.now().Before(found.end) {
		return access.Principal{}, access.ErrStranger
	}
	if found.who.Renew != nil {
		return found.who.Renew(r.Context())
	}
	return found.who, nil
}

// key tells visits apart; it is empty for who has none.
func (v *visitors) key(r *http.Request) string {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return ""
	}
	id := sha256.Sum256([]byte(cookie.Value))
	v.mu.Lock()
	defer v.mu.Unlock()
	if found, ok := v.visits[id]; !ok || !v.now().Before(found.end) {
		return ""
	}
	return string(id[:])
}

func (v *visitors) dismiss(w http.ResponseWriter, r *http.Request) {
	if cookie, err := r.Cookie(cookieName); err == nil {
		v.mu.Lock()
		delete(v.visits, sha256.Sum256([]byte(cookie.Value)))
		v.mu.Unlock()
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode})
}

// Visitor returns who asks for a page.
func (p *page) Visitor(r *http.Request) (access.Principal, error) { return p.visitor.visitor(r) }

// Refuse answers who may not have what they ask for. Strangers are sent to the sign-in whatever it is.
func (p *page) Refuse(w http.ResponseWriter, r *http.Request, why access.Refusal, err error) {
	switch why {
	case access.RefusedStranger:
		http.Redirect(w, r, "/login", http.StatusSeeOther)
	case access.RefusedForbidden:
		p.fail(w, r, http.StatusForbidden)
	case access.RefusedAbsent:
		p.fail(w, r, http.StatusNotFound)
	case access.RefusedReason:
		http.Error(w, "a reason is needed first; give it on the session's page", http.StatusForbidden)
	case access.RefusedFailed:
		p.cfg.Logger.Error("right was not looked up", "error", err)
		p.fail(w, r, http.StatusInternalServerError)
	}
}
