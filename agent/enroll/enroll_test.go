package enroll

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAKeyIsBoundToItsMachine(t *testing.T) {
	dir := t.TempDir()
	first, why, err := openKey(dir, "a")
	if err != nil || why == "" {
		t.Fatal(why, err)
	}
	first.agent = "id"
	if err := first.save(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, keyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info.Mode(), err)
	}
	again, why, err := openKey(dir, "a")
	if err != nil || why != "" || again.agent != "id" || !again.private.Equal(first.private) {
		t.Errorf("the key was not kept: %q, %v", why, err)
	}
	// As an image brings it to another machine.
	cloned, why, err := openKey(dir, "b")
	if err != nil || !strings.Contains(why, "another machine") || cloned.agent != "" || cloned.private.Equal(first.private) {
		t.Errorf("another machine has the key: %q, %v", why, err)
	}
	if err := os.WriteFile(filepath.Join(dir, keyFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if k, why, err := openKey(dir, "b"); err != nil || !strings.Contains(why, "damaged") || k.private.Equal(cloned.private) {
		t.Errorf("a damaged key: %q, %v", why, err)
	}
}

func TestMachinesDiffer(t *testing.T) {
	root := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("etc/machine-id", "image")
	write("proc/sys/kernel/random/boot_id", "boot 1")
	seen := map[string]string{}
	is := func(what string, same bool) {
		t.Helper()
		m := Machine(root)
		if _, known := seen[m]; known != same {
			t.Errorf("%s: known %t", what, known)
		}
		seen[m] = what
	}
	is("without a number", false)
	write("proc/sys/kernel/random/boot_id", "boot 2")
	is("at another boot, without a number", false)
	write("sys/class/dmi/id/product_uuid", "number 1")
	is("with a number", false)
	write("proc/sys/kernel/random/boot_id", "boot 3")
	is("at another boot, with a number", true)
	write("sys/class/dmi/id/product_uuid", "number 2")
	is("a clone", false)
}

func TestASignatureCoversNonceAndKey(t *testing.T) {
	for region, host := range map[string]string{"eu-central-1": "sts.eu-central-1.amazonaws.com", "cn-north-1": "sts.cn-north-1.amazonaws.com.cn"} {
		h, err := sign(t.Context(), aws.Credentials{AccessKeyID: "AKIA", SecretAccessKey: "s", SessionToken: "t"}, region, "nonce", make(ed25519.PublicKey, 32))
		if err != nil {
			t.Fatal(err)
		}
		_, list, _ := strings.Cut(h["Authorization"], "SignedHeaders=")
		list, _, _ = strings.Cut(list, ",")
		for _, need := range []string{"host", "x-amz-date", "x-recfleet-nonce", "x-recfleet-key", "x-amz-security-token"} {
			if !strings.Contains(";"+list+";", ";"+need+";") {
				t.Errorf("%s: %s is not signed: %s", host, need, list)
			}
		}
		if h["X-Recfleet-Nonce"] != "nonce" || !strings.Contains(h["Authorization"], "/"+region+"/sts/aws4_request") {
			t.Errorf("%s: %v", host, h)
		}
	}
}
