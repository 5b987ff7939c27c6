// Package web serves the page on which people find and watch recordings.
//
// In come requests of browsers that have shown the admin token once and carry a cookie since; out go HTML without any
// script or style but the page's own, and mp4s by range, read through the coordinator: a browser needs no right on the
// archive and no URL carries a secret. Names and titles are text, never markup. Every route but the sign-in and the static
// files needs the cookie.
package web

import (
	"context"
	"embed"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/catalog"
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
	Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, object.Info, error)
}

// Config is what the page is made of.
type Config struct {
	Sessions Sessions
	Objects  Objects
	// Admits reports whether a token may use the page.
	Admits func(token string) bool
	Logger hclog.Logger
}

type page struct {
	cfg     Config
	views   map[string]*template.Template
	visitor *visitors
}

// New returns the handler of the page.
func New(cfg Config) (http.Handler, error) {
	p := &page{cfg: cfg, views: map[string]*template.Template{}, visitor: newVisitors(time.Now)}
	for _, name := range []string{"login", "list", "session", "error"} {
		view, err := template.New("frame.html").Funcs(functions()).ParseFS(files, "templates/frame.html", "templates/"+name+".html")
		if err != nil {
			return nil, err
		}
		p.views[name] = view
	}
	static, err := fs.Sub(files, "static")
	if err != nil {
		return nil, err
	}

	open := http.NewServeMux()
	open.Handle("GET /static/", http.StripPrefix("/static/", http.FileServerFS(static)))
	open.HandleFunc("GET /login", p.showLogin)
	open.HandleFunc("POST /login", p.login)
	closed := http.NewServeMux()
	closed.HandleFunc("GET /{$}", p.list)
	closed.HandleFunc("GET /sessions/{id}", p.session)
	closed.HandleFunc("GET /sessions/{id}/video/{number}", p.video)
	closed.HandleFunc("POST /logout", p.logout)
	closed.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { p.fail(w, r, http.StatusNotFound) })
	open.Handle("/", p.visitor.only(closed))
	return http.NewCrossOriginProtection().Handler(guarded(open)), nil
}

// guarded sets what tells a browser to trust nothing but this page, and to keep nothing.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store, private")
		r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
		next.ServeHTTP(w, r)
	})
}

// show renders a view whole before the first byte leaves, so that a failure is a clean error page.
func (p *page) show(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	var body bufferedPage
	if err := p.views[name].Execute(&body, data); err != nil {
		p.cfg.Logger.Error("page was not rendered", "view", name, "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body.Bytes()) // the browser may have gone
	}
}

func (p *page) fail(w http.ResponseWriter, r *http.Request, status int) {
	p.show(w, r, status, "error", struct {
		SignedIn bool
		Title    string
	}{true, http.StatusText(status)})
}
