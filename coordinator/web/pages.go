package web

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/chunk"
)

type bufferedPage struct{ bytes.Buffer }

type loginView struct {
	SignedIn bool
	Title    string
	Wrong    bool
	Provider bool // there is one
	Failed   bool // the provider's word did not come or did not count
}

func (p *page) loginView() loginView {
	return loginView{Title: "Sign in", Provider: p.cfg.SignIn != nil}
}

func (p *page) showLogin(w http.ResponseWriter, r *http.Request) {
	p.show(w, r, http.StatusOK, "login", p.loginView())
}

func (p *page) login(w http.ResponseWriter, r *http.Request) {
	who, err := p.cfg.Access.Authenticate(r.Context(), r.PostFormValue("token"))
	if err != nil && !errors.Is(err, access.ErrStranger) {
		p.cfg.Logger.Error("token was not looked up", "error", err)
		p.fail(w, r, http.StatusInternalServerError)
		return
	}
	if err != nil || who.Kind != access.KindPerson {
		p.cfg.Logger.Warn("sign-in refused", "remote", r.RemoteAddr)
		p.denySignIn(r, who)
		view := p.loginView()
		view.Wrong = true
		p.show(w, r, http.StatusForbidden, "login", view)
		return
	}
	p.cfg.Logger.Info("visitor signed in", "remote", r.RemoteAddr, "who", who.Name, "by", who.By)
	p.visitor.dismiss(w, r)
	p.visitor.admit(w, who)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (p *page) logout(w http.ResponseWriter, r *http.Request) {
	p.visitor.dismiss(w, r)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// checkField is a *catalog.FilterError where a field's values are more than one, too long, or no text.
func checkField(field string, values []string, limit int) error {
	if len(values) > 1 {
		return &catalog.FilterError{Field: field, Problem: "is given more than once"}
	}
	for _, value := range values {
		problem := ""
		switch {
		case len(value) > limit:
			problem = fmt.Sprintf("is %d bytes long, at most %d", len(value), limit)
		case !utf8.ValidString(value):
			problem = "is not UTF-8"
		case strings.ContainsFunc(value, unicode.IsControl):
			problem = "holds control characters"
		}
		if problem != "" {
			return &catalog.FilterError{Field: field, Problem: problem}
		}
	}
	return nil
}

type sessionView struct {
	SignedIn bool
	Title    string
	catalog.Detail
	Line []stretch
	// Watch and Download are what the visitor may, for the reason that it has given.
	Watch, Download bool
	// Audit is set where the visitor may see who did what.
	Audit bool
	// Explain is set where more is shown for a reason.
	Explain bool
	Reason  string // that was given
}

// stretch is a part of the session's time line, in thousandths of its length.
type stretch struct {
	X, Width int
	Kind     string // a segment's state, or "gap"
	Label    string
	Segment  int // its number; 0 for a gap
}

func (p *page) session(w http.ResponseWriter, r *http.Request) {
	detail, ok := p.detail(w, r)
	if !ok {
		return
	}
	if err := p.audited.look(r, detail.Session); err != nil {
		p.cfg.Logger.Error("session was not shown, it cannot be audited", "session_id", detail.Session.ID, "error", err)
		p.fail(w, r, http.StatusServiceUnavailable)
		return
	}
	who, right := access.Caller(r.Context()), access.RightView
	if detail.Session.State.Capturing() {
		right = access.RightViewLive
	}
	owner, control := detail.Session.Owner(), p.cfg.Access
	view := sessionView{
		SignedIn: true, Title: "Session " + detail.Session.ID, Detail: detail, Line: timeline(detail), Reason: access.Reason(r.Context()),
		Watch: who.Scope(right).Has(owner), Download: who.Scope(access.RightDownload).Has(owner), Audit: who.May(access.RightAudit),
	}
	view.Explain = view.Watch && control.Demands(right) || view.Download && control.Demands(access.RightDownload)
	if view.Reason == "" {
		view.Watch, view.Download = view.Watch && !control.Demands(right), view.Download && !control.Demands(access.RightDownload)
	}
	p.show(w, r, http.StatusOK, "session", view)
}

// detail finds the session that the path names, or answers that there is none.
func (p *page) detail(w http.ResponseWriter, r *http.Request) (catalog.Detail, bool) {
	id := r.PathValue("id")
	if !chunk.ValidSession(id) {
		p.fail(w, r, http.StatusNotFound)
		return catalog.Detail{}, false
	}
	detail, err := p.cfg.Sessions.Detail(r.Context(), id)
	switch {
	case errors.Is(err, catalog.ErrNotFound):
		p.fail(w, r, http.StatusNotFound)
	case err != nil:
		p.cfg.Logger.Error("session was not read", "session_id", id, "error", err)
		p.fail(w, r, http.StatusInternalServerError)
	default:
		return detail, true
	}
	return catalog.Detail{}, false
}

// timeline places the segments and gaps of a session on one line.
func timeline(d catalog.Detail) []stretch {
	end := d.Session.End
	for _, s := range d.Segments {
		if s.End.After(end) {
			end = s.End
		}
	}
	whole := end.Sub(d.Session.Start)
	if whole <= 0 {
		return nil
	}
	place := func(from, to time.Time) (x, width int) {
		x = int(from.Sub(d.Session.Start) * 1000 / whole)
		return x, max(2, int(to.Sub(d.Session.Start)*1000/whole)-x)
	}
	var line []stretch
	for _, s := range d.Segments {
		x, width := place(s.Start, s.End)
		line = append(line, stretch{x, width, string(s.State), "segment " + number(s.Segment), s.Segment})
	}
	for _, g := range d.Gaps {
		x, width := place(g.Start, g.End)
		line = append(line, stretch{x, width, "gap", g.Cause, 0})
	}
	return line
}
