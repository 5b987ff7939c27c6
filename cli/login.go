package cli

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/spf13/cobra"
	"golang.org/x/oauth2"
	"golang.org/x/sync/errgroup"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// signInLimit is how long somebody may take to sign in.
const signInLimit = 10 * time.Minute

func (a *app) login() *cobra.Command {
	var device bool
	c := &cobra.Command{
		Use: "login", Short: "Sign in with the organization's provider", Args: noArgs,
		Long: "Sign in with the organization's provider, for a context with sign_in: true. It prints an address for a browser on the same\n" +
			"computer; --device prints an address and a code for a browser anywhere. What it gets is kept in a file for its owner alone\n" +
			"beside the config, and renewed as long as the provider does.",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.choose(c); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), signInLimit)
			defer cancel()
			return a.signIn(ctx, device)
		},
	}
	c.Flags().BoolVar(&device, "device", false, "sign in with a browser that is elsewhere")
	return c
}

func (a *app) logout() *cobra.Command {
	return &cobra.Command{
		Use: "logout", Short: "Forget a sign-in", Args: noArgs,
		Long: "Forget a sign-in. The provider's own session in the browser is left as it is.",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.choose(c); err != nil {
				return err
			}
			path, err := a.signInPath()
			if err != nil {
				return err
			}
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("forget sign-in: %w", err)
			}
			write(a.Stderr, "signed out of %s\n", a.target.name)
			return nil
		},
	}
}

// signIn asks the coordinator for its provider, and has the provider say who the person is.
func (a *app) signIn(ctx context.Context, device bool) error {
	path, err := a.signInPath()
	if err != nil {
		return err
	}
	s, err := a.askSignIn(ctx)
	if err != nil {
		return err
	}
	s.path, s.now = path, a.Now
	ctx, provider, config, err := s.provider(ctx)
	if err != nil {
		return err
	}
	var token *oauth2.Token
	nonce := ""
	if device {
		token, err = a.byDevice(ctx, config)
	} else {
		nonce = rand.Text()
		token, err = a.byBrowser(ctx, config, nonce)
	}
	if err != nil {
		return err
	}
	if err := s.take(ctx, provider, token, nonce); err != nil {
		return err
	}
	write(a.Stderr, "signed in to %s\n", a.target.name)
	return nil
}

// askSignIn asks the coordinator how people sign in; that needs no token.
func (a *app) askSignIn(ctx context.Context) (*signedIn, error) {
	client, err := a.target.client()
	if err != nil {
		return nil, usageError{err}
	}
	conn, err := client.Dial()
	if err != nil {
		return nil, usageError{err}
	}
	defer conn.Close()
	ctx, cancel := a.deadline(ctx)
	defer cancel()
	answer, err := recfleetv1.NewAccessServiceClient(conn).GetSignIn(ctx, &recfleetv1.GetSignInRequest{})
	if err != nil {
		return nil, failed(err, "ask how to sign in")
	}
	if answer.GetIssuer() == "" {
		return nil, errors.New("the coordinator has no sign-in for recctl: a token is needed, see recctl tokens")
	}
	return &signedIn{Issuer: answer.GetIssuer(), ClientID: answer.GetClientId(), Scopes: answer.GetScopes(), CACertificate: answer.GetCaCertificate()}, nil
}

// byDevice lets the person sign in elsewhere.
func (a *app) byDevice(ctx context.Context, config *oauth2.Config) (*oauth2.Token, error) {
	if config.Endpoint.DeviceAuthURL == "" {
		return nil, errors.New("the provider has no sign-in by code: leave --device out")
	}
	asked, err := config.DeviceAuth(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the provider for a code: %w", err)
	}
	write(a.Stderr, "Open %s in a browser and enter the code %s\n", escape(asked.VerificationURI), escape(asked.UserCode))
	token, err := config.DeviceAccessToken(ctx, asked)
	if err != nil {
		return nil, fmt.Errorf("wait for the sign-in: %w", err)
	}
	return token, nil
}

// byBrowser waits on this computer for a browser that comes back from the provider.
func (a *app) byBrowser(ctx context.Context, config *oauth2.Config, nonce string) (*oauth2.Token, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("wait for the browser: %w", err)
	}
	config.RedirectURL = "http://" + listener.Addr().String() + "/callback"
	state, verifier := rand.Text()+rand.Text(), oauth2.GenerateVerifier()
	write(a.Stderr, "Open this address in a browser on this computer:\n%s\n",
		config.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)))

	codes := make(chan string, 1)
	server := &http.Server{ReadHeaderTimeout: askLimit, Handler: callback(state, codes)}
	var serving errgroup.Group
	serving.Go(func() error { return server.Serve(listener) })
	var code string
	select {
	case code = <-codes:
	case <-ctx.Done():
		err = fmt.Errorf("wait for the sign-in: %w", ctx.Err())
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if server.Shutdown(ending) != nil { // the browser gets its page
		_ = server.Close()
	}
	_ = serving.Wait() // it says that the server was closed
	switch {
	case err != nil:
		return nil, err
	case code == "":
		return nil, errors.New("the provider refused the sign-in")
	}
	token, err := config.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		return nil, fmt.Errorf("exchange the provider's code: %w", err)
	}
	return token, nil
}

// callback takes the code from the browser that was sent away with the state, and an empty one where the provider refused.
func callback(state string, codes chan<- string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /callback", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if subtle.ConstantTimeCompare([]byte(r.URL.Query().Get("state")), []byte(state)) != 1 {
			w.WriteHeader(http.StatusForbidden)
			write(w, "This is not the sign-in that recctl waits for.\n")
			return
		}
		select {
		case codes <- r.URL.Query().Get("code"):
		default:
		}
		write(w, "You can close this window and go back to recctl.\n")
	})
	return mux
}
