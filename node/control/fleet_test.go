package control_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/printable/printabletest"
	"github.com/bizra/bizra-top/node/settings"
)

// authority signs certificates.
type authority struct {
	*testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
}

func newAuthority(t *testing.T) *authority {
	a := &authority{T: t, dir: t.TempDir()}
	a.cert, a.key = a.sign("ca", &x509.Certificate{Subject: pkix.Name{CommonName: "test authority"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// sign writes a certificate and its key to files named after it.
func (a *authority) sign(name string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.Fatal(err)
	}
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.Fatal(err)
	}
	signed, err := x509.ParseCertificate(der)
	if err != nil {
		a.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.Fatal(err)
	}
	a.write(name+".pem", "CERTIFICATE", der)
	a.write(name+".key", "EC PRIVATE KEY", secret)
	return signed, key
}

func (a *authority) write(name, kind string, der []byte) {
	a.Helper()
	if err := os.WriteFile(a.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.Fatal(err)
	}
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) node(name string) {
	a.sign(name, &x509.Certificate{Subject: pkix.Name{CommonName: "node"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
}

func (a *authority) person(name string, units ...string) {
	a.sign(name, &x509.Certificate{Subject: pkix.Name{CommonName: name, OrganizationalUnit: units},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

func (a *authority) client(address, name string) *control.Client {
	c := control.NewFleetClient("https://"+address, a.file(name+".pem"), a.file(name+".key"), a.file("ca.pem"))
	a.Cleanup(c.Close)
	return c
}

func fleet(a *authority, with map[string]string) control.Fleet {
	a.Helper()
	r := settings.NewRegistry()
	access := control.Declare(r)
	values := map[string]string{"control.listen": "127.0.0.1:0", "control.tls.cert": a.file("node.pem"),
		"control.tls.key": a.file("node.key"), "control.tls.client_ca": a.file("ca.pem")}
	for key, value := range with {
		values[key] = value
	}
	for key, value := range values {
		if err := r.Load(settings.SourceFile, []settings.Change{{Key: key, Value: value}}); err != nil {
			a.Fatal(err)
		}
	}
	return access.Fleet
}

// door opens the rig's server over mutual TLS. broken gets what is wrong with files.
func (a *authority) door(r *rig, broken chan error) (address string) {
	a.Helper()
	a.node("node")
	certs, err := fleet(a, nil).Certificates(func(err error) { broken <- err })
	if err != nil {
		a.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		a.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- r.server.ServeFleet(l, certs) }()
	a.Cleanup(func() {
		_ = r.server.Close() // the rig closes it too
		if err := <-ended; err != nil {
			a.Error(err)
		}
	})
	return l.Addr().String()
}

func TestTheDoorOverTLSKnowsRoles(t *testing.T) {
	a, r := newAuthority(t), serve(t)
	address := a.door(r, make(chan error, 1))
	change := control.ChangeRequest{Changes: []control.Change{{Key: "pool.limit", Value: "9"}}} // of high risk
	for name, c := range map[string]struct {
		units  []string
		role   string
		change bool
	}{
		"nobody-special": {nil, "viewer", false},
		"vera":           {[]string{"bizra-viewer"}, "viewer", false},
		"olga":           {[]string{"ops", "bizra-operator"}, "operator", false},
		"ada":            {[]string{"bizra-admin"}, "admin", true},
		"mallory":        {[]string{"Bizra-Admin", "bizra-admin2"}, "viewer", false},
	} {
		a.person(name, c.units...)
		client := a.client(address, name)
		look, err := client.Look(t.Context(), 0)
		if err != nil || look.Role != c.role {
			t.Errorf("%s: %q, %v", name, look.Role, err)
		}
		_, err = client.Change(t.Context(), change)
		var refusal *control.Problem
		if changed := err == nil; changed != c.change || !changed && (!errors.As(err, &refusal) || refusal.Status != http.StatusForbidden) {
			t.Errorf("%s changes: %v", name, err)
		}
	}
	entries, err := r.trail.Read(1000, nil)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, e := range entries {
		found = found || e.By == "cert:ada" && e.UID == -1 && e.Outcome == "done" && e.Subject == "pool.limit" && strings.HasPrefix(e.Command, "TLS from 127.0.0.1:")
	}
	if !found {
		t.Errorf("the trail does not say who: %+v", entries)
	}
}

func TestTheDoorOverTLSRefusesStrangers(t *testing.T) {
	a, other, r := newAuthority(t), newAuthority(t), serve(t)
	address := a.door(r, make(chan error, 1))
	a.person("ada", "bizra-admin")
	other.person("ada", "bizra-admin")
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	strange, err := tls.LoadX509KeyPair(other.file("ada.pem"), other.file("ada.key"))
	if err != nil {
		t.Fatal(err)
	}
	known, err := tls.LoadX509KeyPair(a.file("ada.pem"), a.file("ada.key"))
	if err != nil {
		t.Fatal(err)
	}
	get := func(c *tls.Config, edit func(*http.Request)) (*http.Response, error) {
		t.Helper()
		client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: c}}
		req, err := http.NewRequest(http.MethodGet, "https://"+address+"/v1/node", nil)
		if err != nil {
			t.Fatal(err)
		}
		if edit != nil {
			edit(req)
		}
		resp, err := client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		return resp, err
	}
	for name, c := range map[string]*tls.Config{
		"no certificate":               {RootCAs: pool},
		"certificate of another":       {RootCAs: pool, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &strange, nil }},
		"TLS 1.2":                      {RootCAs: pool, Certificates: []tls.Certificate{known}, MaxVersion: tls.VersionTLS12},
		"the node is not whom I trust": {RootCAs: x509.NewCertPool(), Certificates: []tls.Certificate{known}},
	} {
		if resp, err := get(c, nil); err == nil {
			t.Errorf("%s: %s", name, resp.Status)
		}
	}
	good := &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{known}}
	for name, c := range map[string]struct {
		edit func(*http.Request)
		want int
	}{
		"as it is":     {nil, http.StatusOK},
		"a web page":   {func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, http.StatusForbidden},
		"another host": {func(r *http.Request) { r.Host = "evil.example" }, http.StatusForbidden},
	} {
		if resp, err := get(good, c.edit); err != nil || resp.StatusCode != c.want {
			t.Errorf("%s: %v %v", name, resp, err)
		}
	}
	plain, err := http.Get("http://" + address + "/v1/node")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Body.Close()
	if body, _ := io.ReadAll(plain.Body); plain.StatusCode != http.StatusBadRequest || bytes.Contains(body, []byte("pid")) {
		t.Errorf("plain HTTP: %d %s", plain.StatusCode, body)
	}
	if _, err := control.NewFleetClient("http://"+address, a.file("ada.pem"), a.file("ada.key"), a.file("ca.pem")).Node(t.Context()); err == nil {
		t.Error("a client asks without TLS")
	}
	if _, err := control.NewFleetClient("https://"+address, "", "", a.file("ca.pem")).Node(t.Context()); err == nil || !strings.Contains(err.Error(), "--tls-cert") {
		t.Errorf("a client without a certificate: %v", err)
	}
}

// Whoever connects and says nothing is cut; others are answered meanwhile.
func TestASlowHandshakeIsCut(t *testing.T) {
	a, r := newAuthority(t), serve(t)
	address := a.door(r, make(chan error, 1))
	a.person("ada")
	began := time.Now()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := a.client(address, "ada").Node(t.Context()); err != nil {
		t.Error(err)
	}
	_ = conn.SetReadDeadline(began.Add(20 * time.Second))
	if _, err := io.ReadAll(conn); err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("still open after %s", time.Since(began))
	}
}

// A certificate is renewed by replacing its files; broken ones are told of, and those
// before go on.
func TestCertificatesAreReadAnew(t *testing.T) {
	a, r := newAuthority(t), serve(t)
	broken := make(chan error, 10)
	address := a.door(r, broken)
	a.person("ada")
	serial := func() string {
		conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			c, err := tls.LoadX509KeyPair(a.file("ada.pem"), a.file("ada.key"))
			return &c, err
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	first := serial()
	if err := os.WriteFile(a.file("node.pem"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for len(broken) == 0 && ctx.Err() == nil {
		if now := serial(); now != first {
			t.Fatalf("another certificate: %s", now)
		}
		time.Sleep(100 * time.Millisecond)
	}
	a.node("node")
	for serial() == first {
		if ctx.Err() != nil {
			t.Fatal("the certificate is not read anew")
		}
		time.Sleep(100 * time.Millisecond)
	}
	if len(broken) != 1 {
		t.Errorf("told %d times of a broken file", len(broken))
	}
}

func TestTheDoorIsNeverOpenOverTCPWithoutCertificates(t *testing.T) {
	a := newAuthority(t)
	a.node("node")
	for _, key := range []string{"control.tls.cert", "control.tls.key", "control.tls.client_ca"} {
		for _, value := range []string{"", a.file("missing.pem"), a.dir} {
			if _, err := fleet(a, map[string]string{key: value}).Certificates(nil); err == nil || !strings.Contains(err.Error(), "control.listen empty") {
				t.Errorf("%s %q: %v", key, value, err)
			}
		}
	}
}

// What the certificate of a peer says its name is, is clean in the trail, in the events
// and in what is on trial.
func TestPeerNamesAreCleaned(t *testing.T) {
	r, a := serve(t), newAuthority(t)
	address := a.door(r, make(chan error, 1))
	for i, payload := range printabletest.Payloads {
		payload = strings.ToValidUTF8(payload, "\u009b") // others are no certificate's
		file := fmt.Sprint("peer", i)
		a.sign(file, &x509.Certificate{Subject: pkix.Name{CommonName: payload, OrganizationalUnit: []string{"bizra-admin"}},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		c := a.client(address, file)
		if _, err := c.Change(t.Context(), control.ChangeRequest{Changes: []control.Change{{Key: "pool.limit", Value: strconv.Itoa(10 + i)}}, RevertAfter: "1h", Reason: payload}); err != nil {
			t.Fatalf("%q: %v", payload, err)
		}
		look, err := c.Look(t.Context(), 0)
		if err != nil || len(look.Trials) != 1 {
			t.Fatalf("%q: %+v, %v", payload, look.Trials, err)
		}
		said := look.Trials[0].By + look.Trials[0].Reason
		for _, e := range look.Events {
			said += e.Actor + e.Text
		}
		entries, err := c.Audit(t.Context(), 5)
		if err != nil || len(entries) == 0 {
			t.Fatal(entries, err)
		}
		for _, e := range entries {
			said += e.By + e.Reason + e.Subject + e.Command + e.Terminal
		}
		if bad := printabletest.Unsafe(said); bad != 0 {
			t.Errorf("%q gives %q in %q", payload, bad, said)
		}
		if _, err := c.Revert(t.Context(), "last"); err != nil {
			t.Fatal(err)
		}
	}
}

// Whoever comes with a certificate named after a user, or after the node itself, is told
// apart from them, in the trail and in the events.
func TestACertificateNamedRootIsNotRoot(t *testing.T) {
	r, a := serve(t), newAuthority(t)
	address := a.door(r, make(chan error, 1))
	for _, name := range []string{"root", "node", "uid:root", ""} {
		a.sign("imposter", &x509.Certificate{Subject: pkix.Name{CommonName: name, OrganizationalUnit: []string{"bizra-admin"}},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		c := a.client(address, "imposter")
		if _, err := c.Change(t.Context(), change("pool.limit", "9")); err != nil {
			t.Fatal(err)
		}
		entries, err := c.Audit(t.Context(), 1)
		look, err2 := c.Look(t.Context(), 0)
		if err != nil || err2 != nil || len(entries) != 1 || len(look.Events) == 0 {
			t.Fatal(entries, err, err2)
		}
		by, actor := entries[0].By, look.Events[len(look.Events)-1].Actor
		if !strings.HasPrefix(by, "cert:"+name) || actor != by || entries[0].UID != -1 || name == "" && !strings.HasPrefix(by, "cert:serial ") {
			t.Errorf("%q appears as %q, in the events as %q", name, by, actor)
		}
	}
	if _, err := r.Change(t.Context(), change("pool.limit", "10")); err != nil {
		t.Fatal(err)
	}
	entries, err := r.Audit(t.Context(), 1)
	if err != nil || !strings.HasPrefix(entries[0].By, "uid:") {
		t.Errorf("%+v %v", entries, err)
	}
}
