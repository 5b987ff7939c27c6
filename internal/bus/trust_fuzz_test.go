package bus

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// Keys are read whole or not at all; with those that are, rights can be signed.
func FuzzOpenTrust(f *testing.F) {
	good := f.TempDir()
	if _, err := OpenTrust(good); err != nil {
		f.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(good, "trust.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	var mixed map[string]string
	if err := json.Unmarshal(raw, &mixed); err != nil {
		f.Fatal(err)
	}
	mixed[keyFleet], mixed[keyOperator] = mixed[keyOperator], mixed[keyFleet]
	if raw, err = json.Marshal(mixed); err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"operator":"SO"}`))
	f.Add([]byte(`[]`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := os.WriteFile(filepath.Join(dir, "trust.json"), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		trust, err := OpenTrust(dir)
		if err != nil {
			return
		}
		if _, _, err := trust.Operator(); err != nil {
			t.Errorf("%s was taken: %v", raw, err)
		}
		if _, err := trust.Accounts(); err != nil {
			t.Errorf("%s was taken: %v", raw, err)
		}
	})
}

// What servers say is understood or refused.
func FuzzServerAnswers(f *testing.F) {
	f.Add([]byte(`{"data":{"server_name":"s","jetstream":{"config":{"sync_always":true,"max_storage":1}}}}`))
	f.Add([]byte(`{"data":{"code":200}}`))
	f.Add([]byte(`{"error":{"description":"no"}}`))
	f.Add([]byte(`{"data":[]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if s, err := parseSettings(raw); err == nil && s.JetStream.Config != nil && s.JetStream.Config.SyncAlways && !json.Valid(raw) {
			t.Errorf("%q is safe", raw)
		}
		if err := parseUpdated(raw); err == nil {
			var answer struct{ Data struct{ Code float64 } }
			if json.Unmarshal(raw, &answer) != nil || answer.Data.Code != okCode {
				t.Errorf("%q is a yes", raw)
			}
		}
	})
}
