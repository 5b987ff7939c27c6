package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// Revoke cuts off the agents that have these keys and, until the next call, takes nothing that was signed for them before now;
// those that are not named any more are let in again. Agents with other keys notice nothing. It blocks until at least one
// server and every other that answers at once has done so. What servers know is lost when they are started anew: call it again
// from time to time. ErrKey where one is none.
func (b *Broker) Revoke(ctx context.Context, publicKeys []string) error {
	claims, err := b.cfg.Trust.agentsAccount()
	if err != nil {
		return fmt.Errorf("revoke bus keys: %w", err)
	}
	for _, key := range publicKeys {
		if !validKey(key) {
			return fmt.Errorf("revoke bus keys: %w", ErrKey)
		}
		claims.Revoke(key)
	}
	token, err := claims.Encode(b.cfg.Trust.seeds[keyOperator])
	if err != nil {
		return fmt.Errorf("revoke bus keys: %w", err)
	}
	// Servers of one cluster tell each other; each of them answers by itself.
	request := &nats.Msg{Subject: "$SYS.REQ.ACCOUNT." + claims.Subject + ".CLAIMS.UPDATE", Data: []byte(token)}
	answers, err := b.askServers(ctx, request)
	if err != nil {
		return fmt.Errorf("revoke bus keys: %w", err)
	}
	for _, raw := range answers {
		if err := parseUpdated(raw); err != nil {
			return fmt.Errorf("revoke bus keys: %w", err)
		}
	}
	return nil
}

// parseUpdated reads a server's answer to new claims; nil where it took them.
func parseUpdated(raw []byte) error {
	var answer struct {
		Data  struct{ Code int } `json:"data"`
		Error struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return fmt.Errorf("read a server's answer: %w", err)
	}
	if answer.Data.Code != okCode {
		return errors.New("a server refused: " + answer.Error.Description)
	}
	return nil
}

// okCode is that of the answer of a server that did as it was asked.
const okCode = 200
