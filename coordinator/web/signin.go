package web

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/oidc"
)

const (
	// The way back from the provider begins on another site, where a browser shows no cookie that is strict about sites: this
	// one is not, is good for one sign-in only, and shows nobody anything.
	flowCookie = "__Host-recfleet-login"
	flowLife   = 10 * time.Minute
	mostFlows  = 1000
)

// SignIn is a provider; oidc.Provider is one.
type SignIn interface {
	Begin(ctx context.Context) (url string, f oidc.Flow, err error)
	Finish(ctx context.Context, f oidc.Flow, state, code string) (access.Principal, error)
}

// flows are the browsers that are at the provider, known by the hash of their cookie.
type flows struct {
	now      func() time.Time
	mu       sync.Mutex
	underway map[[sha256.Size]byte]flow
}

type flow struct {
	oidc.Flow
	end time.Time
}

func newFlows(now func() time.Time) *flows {
	return &flows{now: now, underway: map[[sha256.Size]byte]flow{}}
}

// add keeps a flow and hands its cookie to the browser.
func (f *flows) add(w http.ResponseWriter, begun oidc.Flow) {
	secret := rand.Text() + rand.Text()
	f.mu.Lock()
	defer f.mu.Unlock()
	var oldest [sha256.Size]byte
	for id, one := range f.underway {
		if f.now().After(one.end) {
			delete(f.underway, id)
		} else if o, ok := f.underway[oldest]; !ok || one.end.Before(o.end) {
			oldest = id
		}
	}
	if len(f.underway) >= mostFlows {
		delete(f.underway, oldest)
	}
	f.underway[sha256.Sum256([]byte(secret))] = flow{begun, f.now().Add(flowLife)}
	http.SetCookie(w, &http.Cookie{
		Name: flowCookie, Value: secret, Path: "/", MaxAge: int(flowLife.Seconds()), Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// take returns the flow of a browser, this once; the zero one where there is none.
func (f *flows) take(w http.ResponseWriter, r *http.Request) oidc.Flow {
	cookie, err := r.Cookie(flowCookie)
	if err != nil {
		return oidc.Flow{}
	}
	http.SetCookie(w, &http.Cookie{Name: flowCookie, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	f.mu.Lock()
	defer f.mu.Unlock()
	id := sha256.Sum256([]byte(cookie.Value))
	found := f.underway[id]
	delete(f.underway, id)
	if f.now().After(found.end) {
		return oidc.Flow{}
	}
	return found.Flow
}

// begin sends a browser to the provider.
func (p *page) begin(w http.ResponseWriter, r *http.Request) {
	if p.cfg.SignIn == nil {
		p.fail(w, r, http.StatusNotFound)
		return
	}
	url, begun, err := p.cfg.SignIn.Begin(r.Context())
	if err != nil {
		p.cfg.Logger.Warn("sign-in not begun", "error", err)
		p.failedSignIn(w, r, http.StatusBadGateway)
		return
	}
	p.flows.add(w, begun)
	http.Redirect(w, r, url, http.StatusSeeOther)
}

// finish takes a browser that comes back from the provider. It is answered with a page of its own that goes on to the list: on a
// redirect from another site the browser would not show the cookie of its visit.
func (p *page) finish(w http.ResponseWriter, r *http.Request) {
	if p.cfg.SignIn == nil {
		p.fail(w, r, http.StatusNotFound)
		return
	}
	begun, query := p.flows.take(w, r), r.URL.Query()
	who, err := p.cfg.SignIn.Finish(r.Context(), begun, query.Get("state"), query.Get("code"))
	if err != nil {
		p.cfg.Logger.Warn("sign-in refused", "remote", r.RemoteAddr, "error", err)
		p.denySignIn(r, access.Principal{})
		p.failedSignIn(w, r, http.StatusForbidden)
		return
	}
	p.cfg.Logger.Info("visitor signed in", "remote", r.RemoteAddr, "who", who.Name, "by", who.By)
	p.visitor.dismiss(w, r)
	p.visitor.admit(w, who)
	p.show(w, r, http.StatusOK, "entered", loginView{Title: "Signed in"})
}

func (p *page) failedSignIn(w http.ResponseWriter, r *http.Request, status int) {
	view := p.loginView()
	view.Failed = true
	p.show(w, r, status, "login", view)
}

// denySignIn has it written down that somebody was not let in.
func (p *page) denySignIn(r *http.Request, who access.Principal) {
	p.cfg.Access.Deny(r.Context(), access.Denial{Who: who.Name, Auth: string(who.By), Action: r.Pattern, From: from(r)})
}
