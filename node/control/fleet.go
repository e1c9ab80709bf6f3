package control

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bizra/bizra-top/node/audit"
	"github.com/bizra/bizra-top/node/files"
	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/node/settings"
)

// Fleet are the settings of the door over TCP, for who looks after many nodes. It is
// never open without certificates on both sides.
type Fleet struct {
	Listen, Cert, Key, ClientCA *settings.Value[string]
}

func declareFleet(r *settings.Registry) Fleet {
	file := func(key, doc string) *settings.Value[string] {
		return settings.String(r, settings.Spec{Key: key, Restart: true, Risk: settings.RiskHigh, Doc: doc}, "")
	}
	return Fleet{
		Listen: settings.String(r, settings.Spec{Key: "control.listen", Restart: true, Risk: settings.RiskHigh, Check: func(v string) error {
			if v == "" {
				return nil
			}
			_, _, err := net.SplitHostPort(v)
			return err
		}, Doc: "Address where the control door is also open over mutual TLS; empty for the unix socket only."}, ""),
		Cert:     file("control.tls.cert", "File of the node's certificate (PEM) for control.listen; read anew when it changes."),
		Key:      file("control.tls.key", "File of the key of control.tls.cert (PEM); read anew when it changes."),
		ClientCA: file("control.tls.client_ca", "File of the authorities (PEM) whose certificates let clients in at control.listen; read anew when it changes."),
	}
}

const (
	// maxPEM bounds a file with certificates or a key.
	maxPEM = 1 << 20
	// lookEvery is how often the files are looked at for a change.
	lookEvery = 2 * time.Second
)

// certificates are what the files hold.
type certificates struct {
	cert      *tls.Certificate
	authority *x509.CertPool
}

// Certificates are the files of one side of mutual TLS, read anew when they change.
// They may be used from any goroutine.
type Certificates struct {
	cert, key, authority string
	// broken is told, once, of files that cannot be used; those before go on.
	broken func(error)

	mu     sync.Mutex
	looked time.Time
	seen   string // names the versions that were read
	now    certificates
}

// Certificates reads the files that the settings name. The error says which is
// missing.
func (f Fleet) Certificates(broken func(error)) (*Certificates, error) {
	for _, file := range []struct{ key, path string }{
		{"control.tls.cert", f.Cert.Get()}, {"control.tls.key", f.Key.Get()}, {"control.tls.client_ca", f.ClientCA.Get()}} {
		if file.path == "" {
			return nil, fmt.Errorf("control.listen is set, but %s is not: the door is only open over TCP with certificates on both sides; "+
				"set it to a PEM file, or leave control.listen empty", file.key)
		}
	}
	c, err := openCertificates(f.Cert.Get(), f.Key.Get(), f.ClientCA.Get(), broken)
	if err != nil {
		return nil, fmt.Errorf("control.listen needs control.tls.cert, control.tls.key and control.tls.client_ca: %w; mend the file, or leave control.listen empty", err)
	}
	return c, nil
}

func openCertificates(cert, key, authority string, broken func(error)) (*Certificates, error) {
	c := &Certificates{cert: cert, key: key, authority: authority, broken: broken}
	c.seen, c.looked = c.versions(), time.Now()
	var err error
	c.now, err = c.read()
	return c, err
}

// versions names what the files are now: a file that is replaced has another number
// or another time.
func (c *Certificates) versions() string {
	var b strings.Builder
	for _, path := range []string{c.cert, c.key, c.authority} {
		if info, err := os.Stat(path); err != nil {
			fmt.Fprintf(&b, "%v;", err)
		} else {
			fmt.Fprintf(&b, "%v %d;", info.ModTime(), info.Size())
		}
	}
	return b.String()
}

func (c *Certificates) read() (out certificates, err error) {
	cert, err1 := readPEM(c.cert)
	key, err2 := readPEM(c.key)
	authority, err3 := readPEM(c.authority)
	if err := errors.Join(err1, err2, err3); err != nil {
		return out, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return out, fmt.Errorf("%s and %s: %w", c.cert, c.key, err)
	}
	out = certificates{&pair, x509.NewCertPool()}
	if !out.authority.AppendCertsFromPEM(authority) {
		return out, fmt.Errorf("%s: no certificate in it", c.authority)
	}
	return out, nil
}

func readPEM(path string) ([]byte, error) {
	data, err := files.Read(path, maxPEM)
	if errors.Is(err, files.ErrNotRegular) || errors.Is(err, files.ErrTooLarge) {
		return nil, fmt.Errorf("%s is not a PEM file: %w", path, err)
	}
	return data, err
}

// current returns what the files hold, or held before they were broken.
func (c *Certificates) current() certificates {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < lookEvery {
		return c.now
	}
	c.looked = time.Now()
	versions := c.versions()
	if versions == c.seen {
		return c.now
	}
	c.seen = versions
	next, err := c.read()
	if err != nil {
		c.broken(err)
		return c.now
	}
	c.now = next
	return next
}

// server is how the node's side speaks: TLS 1.3 and no less, and nobody without a
// certificate of the authority.
func (c *Certificates) server() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := c.current()
		return &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: now.authority,
			Certificates: []tls.Certificate{*now.cert}, NextProtos: []string{"http/1.1"}}, nil
	}}
}

// ServeFleet answers on l over mutual TLS until Close.
func (s *Server) ServeFleet(l net.Listener, c *Certificates) error {
	s.fleet.Store(c)
	if err := s.http.Serve(tls.NewListener(bounded(l), c.server())); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the control door at %s: %w", l.Addr(), err)
	}
	return nil
}

// complaints is where http.Server writes. Who knocks without a certificate is recorded,
// but cannot fill the log or the trail.
type complaints struct{ server *Server }

func (c complaints) Write(p []byte) (int, error) {
	text := string(p)
	if !strings.Contains(text, "TLS handshake error") {
		log.Print(text)
		return len(p), nil
	}
	c.server.refusals.Do(func() {
		c.server.record(peer{name: "unknown", uid: -1}, audit.Entry{Verb: "ask", Outcome: "refused", Reason: strings.TrimSpace(text)})
	})
	return len(p), nil
}

// roleUnits are the organisational units of a client's certificate that give it more
// than a look.
var roleUnits = map[string]Role{"bizra-viewer": Viewer, "bizra-operator": Operator, "bizra-admin": Admin}

// withCertificate finds out who is at the other end of a TLS connection.
func withCertificate(r *http.Request) *http.Request {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return r
	}
	subject := r.TLS.VerifiedChains[0][0].Subject
	p := peer{uid: -1, role: Viewer, name: byCertificate + printable.Clean(subject.CommonName, 60)}
	for _, unit := range subject.OrganizationalUnit {
		p.role = max(p.role, roleUnits[unit])
	}
	if p.name == byCertificate {
		p.name += "serial " + r.TLS.VerifiedChains[0][0].SerialNumber.Text(16)
	}
	p.process.command = "TLS from " + r.RemoteAddr
	return r.WithContext(context.WithValue(r.Context(), peerKey{}, p))
}

// answersTo says whether a request names this node as a client of the door may.
func (s *Server) answersTo(r *http.Request) bool {
	host := r.Host
	if name, _, err := net.SplitHostPort(r.Host); err == nil {
		host = name
	}
	if slices.Contains(hosts, host) {
		return true
	}
	c := s.fleet.Load()
	return r.TLS != nil && c != nil && c.current().cert.Leaf.VerifyHostname(host) == nil
}
