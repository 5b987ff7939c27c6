package web

import (
	"errors"
	"net/http"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

const (
	auditSize = 100
	// mostObjects bounds the segments whose records are looked for.
	mostObjects = 5000
)

type auditView struct {
	SignedIn bool
	Title    string
	Session  catalog.Session
	Records  []catalog.AuditRecord
	Next     string
}

// audit shows who did what with a session and its segments, the newest first.
func (p *page) audit(w http.ResponseWriter, r *http.Request) {
	detail, ok := p.detail(w, r)
	if !ok {
		return
	}
	pages := r.URL.Query()["page"]
	if err := checkField("page", pages, maxPageToken); err != nil {
		p.failWith(w, r, http.StatusBadRequest, err.Error())
		return
	}
	filter := catalog.AuditFilter{Objects: []string{detail.Session.ID}}
	for _, s := range detail.Segments[:min(len(detail.Segments), mostObjects)] {
		filter.Objects = append(filter.Objects, catalog.JobID(s.Session, s.Segment))
	}
	token := ""
	if len(pages) > 0 {
		token = pages[0]
	}
	records, next, err := p.cfg.Audit.ListAudit(r.Context(), filter, auditSize, token)
	switch {
	case errors.Is(err, catalog.ErrPageToken):
		p.failWith(w, r, http.StatusBadRequest, "page: was not made for this list")
	case err != nil:
		p.cfg.Logger.Error("audit was not read", "session_id", detail.Session.ID, "error", err)
		p.fail(w, r, http.StatusInternalServerError)
	default:
		p.show(w, r, http.StatusOK, "audit", auditView{true, "Audit of session " + detail.Session.ID, detail.Session, records, next})
	}
}
