package oidc

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/recfleet/recfleet/coordinator/access"
)

// Flow is what a browser's sign-in needs to be finished; all of it is secret from others.
type Flow struct{ state, nonce, verifier string }

// ErrFlow says that what the browser brought back does not belong to what it was sent away with.
var ErrFlow = errors.New("sign-in does not fit together")

// Begin returns where the browser is to go, and what it takes to finish.
func (p *Provider) Begin(ctx context.Context) (url string, f Flow, err error) {
	provider, err := p.discover(ctx)
	if err != nil {
		return "", Flow{}, err
	}
	f = Flow{state: rand.Text() + rand.Text(), nonce: rand.Text() + rand.Text(), verifier: oauth2.GenerateVerifier()}
	return p.oauth(provider).AuthCodeURL(f.state, oidc.Nonce(f.nonce), oauth2.S256ChallengeOption(f.verifier)), f, nil
}

// Finish returns who the browser belongs to. ErrFlow says that state or nonce are not those of the flow, access.ErrStranger that
// the provider's word does not count.
func (p *Provider) Finish(ctx context.Context, f Flow, state, code string) (access.Principal, error) {
	if f.state == "" || code == "" || subtle.ConstantTimeCompare([]byte(state), []byte(f.state)) != 1 {
		return access.Principal{}, fmt.Errorf("%w: state", ErrFlow)
	}
	provider, err := p.discover(ctx)
	if err != nil {
		return access.Principal{}, err
	}
	token, err := p.oauth(provider).Exchange(oidc.ClientContext(ctx, p.client), code, oauth2.VerifierOption(f.verifier))
	if err != nil {
		return access.Principal{}, fmt.Errorf("exchange code: %w", err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return access.Principal{}, fmt.Errorf("%w: the provider gave no ID token", access.ErrStranger)
	}
	who, id, err := p.verify(ctx, provider, raw, []string{p.cfg.ClientID})
	if err != nil {
		return access.Principal{}, fmt.Errorf("%w: %w", access.ErrStranger, err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(f.nonce)) != 1 {
		return access.Principal{}, fmt.Errorf("%w: nonce", ErrFlow)
	}
	return who, nil
}
