package access

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

// recheckEvery is how late what is being served ends after the right to it was taken away.
const recheckEvery = 2 * time.Second

// errRunOut says that who it is has to be shown anew for a call that has no end.
var errRunOut = status.Error(codes.Unavailable, "the sign-in that the call began with has run out; call again")

// follow serves, and ends ctx by cut once again says that it may not go on. Errors of again that say only that nobody can tell now
// change nothing. It blocks until serve has returned.
func follow(ctx context.Context, cut context.CancelCauseFunc, again func(ctx context.Context) error, serve func()) {
	served := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		tick := time.NewTicker(recheckEvery)
		defer tick.Stop()
		for {
			select {
			case <-served:
				return
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := again(ctx); refused(err) || errors.Is(err, errRunOut) {
				cut(err)
				return
			}
		}
	})
	defer looking.Wait()
	defer close(served)
	serve()
}

// renewed returns who made a call, as it is by now.
func (c *Control) renewed(ctx context.Context, p Principal) (Principal, error) {
	if p.Renew != nil {
		return p.Renew(ctx)
	}
	return c.identify(ctx)
}

// again is nil where the stream may go on, which then shows what may be seen by now.
func (s *called) again(ctx context.Context) error {
	before := s.call.principal()
	if s.rule.anybody {
		return nil
	}
	if s.rule.lists && before.By == ByOIDC && !s.expires.IsZero() && time.Now().After(s.expires) {
		return errRunOut
	}
	p, err := s.control.renewed(ctx, before)
	var scope catalog.Scope
	if err == nil {
		scope, err = s.rule.enter(p)
	}
	request := s.request.Load()
	if err == nil && s.rule.object != nothing && request != nil {
		_, err = s.control.named(ctx, s.rule, p, *request)
	}
	if err != nil {
		var of any
		if request != nil {
			of = *request
		}
		s.control.denyCall(ctx, s.method, before, of, err)
		return err
	}
	s.call.standing.Store(&standing{p, scope})
	return nil
}

// cutOff is why a context was ended because of a right; nil where it was not.
func cutOff(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	if err := context.Cause(ctx); refused(err) || errors.Is(err, errRunOut) {
		return err
	}
	return nil
}

// attended serves a request as long as its visitor may have the answer. One that is cut off breaks off.
func (c *Control) attended(w http.ResponseWriter, request *http.Request, again func(r *http.Request) error, next http.Handler) {
	ctx, cut := context.WithCancelCause(request.Context())
	defer cut(nil)
	stop := func(err error) {
		cut(err)
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now()) // for a browser that takes nothing
	}
	follow(ctx, stop, func(context.Context) error { return again(request) }, func() {
		next.ServeHTTP(&cuttable{w, ctx}, request.WithContext(ctx))
	})
	if cutOff(ctx) != nil {
		panic(http.ErrAbortHandler)
	}
}

// cuttable is an answer that ends where its visitor may not have it any more.
type cuttable struct {
	http.ResponseWriter
	ctx context.Context //nolint:containedctx // it is the request's own
}

// Unwrap is for http.ResponseController.
func (w *cuttable) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write passes bytes on.
func (w *cuttable) Write(b []byte) (int, error) {
	if err := cutOff(w.ctx); err != nil {
		return 0, err
	}
	return w.ResponseWriter.Write(b)
}
