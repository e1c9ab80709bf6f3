//go:build integration

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/audit"
)

// selfSigned writes a certificate that is its own authority, of an admin who is also
// the node, and its key.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		Subject: pkix.Name{CommonName: "ada", OrganizationalUnit: []string{"bizra-admin"}}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// The commands work on a node elsewhere, also after it was handed over; without
// certificates the door is not opened at all.
func TestANodeElsewhereIsAskedOverTLS(t *testing.T) {
	program := binary(t)
	cert, key := selfSigned(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	door := []string{"--control.listen", at, "--control.tls.cert", cert, "--control.tls.key", key}
	out, err := exec.Command(program, append(door, "--headless", "--state-dir", t.TempDir(), "--upstream.providers", "a=http://127.0.0.1:1")...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "control.tls.client_ca is not") {
		t.Errorf("%v %s", err, out)
	}
	s := open(t, program, append(door, "--control.tls.client_ca", cert)...)
	ask := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(program, append(args, "--node", "https://"+at, "--tls-cert", cert, "--tls-key", key, "--tls-ca", cert)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v %s", args, err, out)
		}
		return string(out)
	}
	if got := ask("set", "pool.limit", "5"); !strings.Contains(got, "-> 5") {
		t.Error(got)
	}
	s.handOver()
	if got := ask("get", "pool.limit"); got != "5\n" {
		t.Error(got)
	}
	if got := ask("--once"); !strings.Contains(got, "1337") {
		t.Error(got)
	}
	entries, err := s.Audit(t.Context(), 100)
	if err != nil || !slices.ContainsFunc(entries, func(e audit.Entry) bool { return e.By == "cert:ada" && e.UID == -1 && e.Subject == "pool.limit" }) {
		t.Errorf("%+v %v", entries, err)
	}
	s.stop()
}
