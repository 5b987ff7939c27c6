package web

import (
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"
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
	visits map[[sha256.Size]byte]time.Time // when they end
}

func newVisitors(now func() time.Time) *visitors {
	return &visitors{now: now, visits: map[[sha256.Size]byte]time.Time{}}
}

// admit starts a visit and hands its cookie to the browser.
func (v *visitors) admit(w http.ResponseWriter) {
	secret := rand.Text() + rand.Text()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.makeRoom()
	v.visits[sha256.Sum256([]byte(secret))] = v.now().Add(visitLife)
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: secret, Path: "/", MaxAge: int(visitLife.Seconds()),
		Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
}

func (v *visitors) makeRoom() {
	var oldest [sha256.Size]byte
	for id, end := range v.visits {
		if v.now().After(end) {
			delete(v.visits, id)
		} else if o, ok := v.visits[oldest]; !ok || end.Before(o) {
			oldest = id
		}
	}
	if len(v.visits) >= mostVisits {
		delete(v.visits, oldest)
	}
}

func (v *visitors) knows(r *http.Request) bool {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	end, ok := v.visits[sha256.Sum256([]byte(cookie.Value))]
	return ok && v.now().Before(end)
}

func (v *visitors) dismiss(w http.ResponseWriter, r *http.Request) {
	if cookie, err := r.Cookie(cookieName); err == nil {
		v.mu.Lock()
		delete(v.visits, sha256.Sum256([]byte(cookie.Value)))
		v.mu.Unlock()
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode})
}

// only lets known visitors through and sends everybody else to the sign-in.
func (v *visitors) only(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !v.knows(r) {
			http.Redirect(w, r, "/login", http.StatusSeeOther)
			return
		}
		next.ServeHTTP(w, r)
	})
}
