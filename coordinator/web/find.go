package web

import (
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/when"
)

// listSize is how many sessions a page of the list has.
const listSize = 50

// Bounds of what a list is asked for with, in bytes.
const maxName, maxPageToken = 256, 512

// Fields of a question; findPage is where its answer goes on.
const (
	findText, findUser, findStack, findFleet, findInstance = "text", "user", "stack", "fleet", "instance"
	findActive, findState, findPage                        = "active", "state", "page"
)

// fields are those that a visitor fills in, in the order of the form.
func fields() []string {
	return []string{findText, findUser, findStack, findFleet, findInstance, findActive, findState}
}

// states are those by which sessions are looked for.
func states() []catalog.SessionState {
	return []catalog.SessionState{
		catalog.SessionStarting, catalog.SessionRecording, catalog.SessionFinalizing, catalog.SessionComplete, catalog.SessionInterrupted,
		catalog.SessionEmpty, catalog.SessionRefused,
	}
}

type listView struct {
	SignedIn bool
	Title    string
	Asked    map[string]string // as it was written, by field
	States   []catalog.SessionState
	Sessions []catalog.Session
	Older    template.URL // the next page; empty where this is the last one
}

func (p *page) list(w http.ResponseWriter, r *http.Request) {
	query, visible := r.URL.Query(), access.Visible(r.Context())
	filter, err := filterOf(query, time.Now())
	if err != nil {
		p.failWith(w, r, http.StatusBadRequest, err.Error())
		return
	}
	filter.Scope = visible
	sessions, next, err := p.cfg.Sessions.ListSessions(r.Context(), filter, listSize, query.Get(findPage))
	var wrong *catalog.FilterError
	switch {
	case errors.Is(err, catalog.ErrPageToken):
		p.failWith(w, r, http.StatusBadRequest, "page: was not made for this list")
	case errors.As(err, &wrong):
		p.failWith(w, r, http.StatusBadRequest, wrong.Error())
	case err != nil:
		p.cfg.Logger.Error("sessions were not listed", "error", err)
		p.fail(w, r, http.StatusInternalServerError)
	default:
		view := listView{SignedIn: true, Title: "Recordings", Asked: map[string]string{}, States: states(), Sessions: sessions}
		for _, field := range fields() {
			view.Asked[field] = query.Get(field)
		}
		if next != "" {
			view.Older = older(view.Asked, filter, next)
		}
		p.show(w, r, http.StatusOK, "list", view)
	}
}

// older is the address of the next page. A time such as "2h" goes on to mean the instant that it meant on the first one.
func older(asked map[string]string, f catalog.Filter, token string) template.URL {
	values := url.Values{findPage: {token}}
	for field, value := range asked {
		if value != "" {
			values.Set(field, value)
		}
	}
	if !f.ActiveAt.IsZero() {
		values.Set(findActive, stamp(f.ActiveAt))
	}
	return template.URL("/?" + values.Encode()) //nolint:gosec // Encode leaves nothing that a browser reads as more than a query
}

// filterOf reads what a visitor looks for. It is a *catalog.FilterError where a field cannot be.
func filterOf(query url.Values, now time.Time) (catalog.Filter, error) {
	for _, field := range append(fields(), findPage) {
		limit := maxName
		if field == findPage {
			limit = maxPageToken
		}
		if err := checkField(field, query[field], limit); err != nil {
			return catalog.Filter{}, err
		}
	}
	f := catalog.Filter{
		Text: query.Get(findText), User: query.Get(findUser), Stack: query.Get(findStack), Fleet: query.Get(findFleet), Instance: query.Get(findInstance),
	}
	if text := query.Get(findActive); text != "" {
		at, err := when.Parse(text, now, time.UTC)
		if err != nil {
			return catalog.Filter{}, &catalog.FilterError{Field: findActive, Problem: err.Error()}
		}
		f.ActiveAt = at
	}
	if state := catalog.SessionState(query.Get(findState)); state != "" {
		if !slices.Contains(states(), state) {
			return catalog.Filter{}, &catalog.FilterError{Field: findState, Problem: "is none that sessions have"}
		}
		f.States = []catalog.SessionState{state}
	}
	return f, nil
}
