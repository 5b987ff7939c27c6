// Package web serves the page on which people find and watch recordings.
//
// In come requests of browsers whose visitor has shown once who it is and that carry a cookie since; out go HTML without any
// script or style but the page's own, and mp4s by range with their thumbnails, read through the coordinator: a browser needs no right on the
// archive and no URL of the page carries a secret. Where links are asked for, an mp4 is answered with one to the archive, good for a
// minute at most. Names and titles are text, never markup. Every route has a right that package access
// declares, and shows only what its visitor may see.
package web

import (
	"context"
	"embed"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/shield"
	"github.com/recfleet/recfleet/coordinator/viewing"
	"github.com/recfleet/recfleet/internal/object"
)

//go:embed templates static
var files embed.FS

// Sessions is what the page shows; catalog.Catalog is one.
type Sessions interface {
	ListSessions(ctx context.Context, f catalog.Filter, size int, token string) ([]catalog.Session, string, error)
	Detail(ctx context.Context, id string) (catalog.Detail, error)
}

// Objects is where the mp4s are; object.Store is one.
type Objects interface {
	GetVersion(ctx context.Context, key, version string, offset, length int64) (io.ReadCloser, object.Info, error)
}

// Audit keeps what visitors read, and shows it; catalog.Catalog is one.
type Audit interface {
	viewing.Auditor
	ListAudit(ctx context.Context, f catalog.AuditFilter, size int, token string) ([]catalog.AuditRecord, string, error)
}

// Links makes addresses in the archive that are good for a short while; object.Links does.
type Links interface {
	Link(ctx context.Context, key, version string, o object.LinkOptions) (string, error)
}

// Config is what the page is made of.
type Config struct {
	Sessions Sessions
	Objects  Objects
	// Links, where it is set, has browsers read mp4s from the archive itself, at the origin LinksOrigin.
	Links       Links
	LinksOrigin string
	// Access knows visitors by their tokens and what they may do.
	Access *access.Control
	// SignIn is the provider by whose word visitors are known; nil for none.
	SignIn SignIn
	// Audit takes who watches and downloads what, before it is served.
	Audit  Audit
	Logger hclog.Logger
}

// Page is the page's handler.
type Page struct {
	http.Handler
	routes []string
}

// Routes returns the patterns of all its routes.
func (p Page) Routes() []string { return slices.Clone(p.routes) }

type page struct {
	cfg     Config
	views   map[string]*template.Template
	visitor *visitors
	flows   *flows
	audited audited
	mux     *http.ServeMux
	routes  []string
}

// New returns the page. A route for which no right is declared is access.ErrUndeclared.
func New(cfg Config) (Page, error) {
	p := &page{
		cfg: cfg, views: map[string]*template.Template{}, visitor: newVisitors(time.Now), flows: newFlows(time.Now), audited: newAudited(cfg.Audit),
		mux: http.NewServeMux(),
	}
	for _, name := range []string{"login", "list", "session", "audit", "error", "entered"} {
		view, err := template.New("frame.html").Funcs(functions()).ParseFS(files, "templates/frame.html", "templates/"+name+".html")
		if err != nil {
			return Page{}, err
		}
		p.views[name] = view
	}
	static, err := fs.Sub(files, "static")
	if err != nil {
		return Page{}, err
	}
	streams := shield.NewStreams(p.visitor.key)
	for pattern, serve := range map[string]http.Handler{
		"GET /static/":                           http.StripPrefix("/static/", p.single(http.FileServerFS(static))),
		"GET /login":                             http.HandlerFunc(p.showLogin),
		"POST /login":                            shield.NewAttempts(time.Now).Limit(http.HandlerFunc(p.login)),
		"GET /login/oidc":                        http.HandlerFunc(p.begin),
		"GET /login/callback":                    http.HandlerFunc(p.finish),
		"POST /logout":                           http.HandlerFunc(p.logout),
		"GET /{$}":                               http.HandlerFunc(p.list),
		"GET /sessions/{id}":                     http.HandlerFunc(p.session),
		"POST /sessions/{id}/reason":             http.HandlerFunc(p.explain),
		"GET /sessions/{id}/video/{number}":      streams.Limit(http.HandlerFunc(p.video)),
		"GET /sessions/{id}/download/{number}":   streams.Limit(http.HandlerFunc(p.download)),
		"GET /sessions/{id}/sprite/{number}":     streams.Limit(http.HandlerFunc(p.sprite)),
		"GET /sessions/{id}/thumbnails/{number}": streams.Limit(http.HandlerFunc(p.thumbnails)),
		"GET /sessions/{id}/audit":               http.HandlerFunc(p.audit),
		"/":                                      http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.fail(w, r, http.StatusNotFound) }),
	} {
		guarded, err := cfg.Access.Guard(pattern, p, serve)
		if err != nil {
			return Page{}, err
		}
		p.mux.Handle(pattern, guarded)
		p.routes = append(p.routes, pattern)
	}
	return Page{Handler: shield.New(shield.Config{Visitor: p.visitor.key, Media: cfg.LinksOrigin, Logger: cfg.Logger}, p.mux), routes: p.routes}, nil
}

// single serves files and lists no folder.
func (p *page) single(files http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "" || strings.HasSuffix(r.URL.Path, "/") {
			p.fail(w, r, http.StatusNotFound)
			return
		}
		files.ServeHTTP(w, r)
	})
}

// show renders a view whole before the first byte leaves, so that a failure is a clean error page.
func (p *page) show(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	var body bufferedPage
	if err := p.views[name].Execute(&body, data); err != nil {
		p.cfg.Logger.Error("page was not rendered", "view", name, "error", err)
		shield.Refuse(w, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body.Bytes()) // the browser may have gone
	}
}

func (p *page) fail(w http.ResponseWriter, r *http.Request, status int) { p.failWith(w, r, status, "") }

// failWith says in a line what is wrong with the request.
func (p *page) failWith(w http.ResponseWriter, r *http.Request, status int, problem string) {
	_, err := p.Visitor(r)
	p.show(w, r, status, "error", struct {
		SignedIn       bool
		Title, Problem string
	}{err == nil, http.StatusText(status), problem})
}
