//go:build integration

package store_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// server is a PostgreSQL of a test's own, which it may stop.
type server struct {
	t          *testing.T
	bin, dir   string
	port       int
	credential *syscall.Credential // who runs it, where the test runs as root
	process    *os.Process
}

// newServer makes and starts a server in a new folder.
func newServer(t *testing.T) *server {
	t.Helper()
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(bins) == 0 {
		t.Fatal("no PostgreSQL in /usr/lib/postgresql: run `make test`, which installs it")
	}
	dir, err := os.MkdirTemp("", "bizra-postgresql")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &server{t: t, bin: filepath.Dir(slices.Max(bins)), dir: dir}
	if os.Getuid() == 0 { // as whom PostgreSQL refuses to run
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err1 != nil || err2 != nil {
			t.Fatal(u)
		}
		s.credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		s.own(dir)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	if out, err := s.command("initdb", "-D", s.data(), "-U", "bizra", "-A", "trust", "--no-sync").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	t.Cleanup(s.stop)
	s.start()
	return s
}

func (s *server) data() string { return filepath.Join(s.dir, "data") }

// own gives a folder to who runs the server.
func (s *server) own(dir string) {
	s.t.Helper()
	if s.credential != nil {
		if err := os.Chown(dir, int(s.credential.Uid), int(s.credential.Gid)); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *server) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(s.bin, name), args...)
	c.Dir = s.dir
	c.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential, Pdeathsig: syscall.SIGQUIT}
	return c
}

func (s *server) dsn() string {
	return fmt.Sprintf("postgres://bizra@127.0.0.1:%d/postgres?sslmode=disable", s.port)
}

func (s *server) start() {
	s.t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	c := s.command("postgres", "-D", s.data(), "-h", "127.0.0.1", "-p", strconv.Itoa(s.port), "-k", s.dir)
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.process = c.Process
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := pgx.Connect(context.Background(), s.dsn())
		if err == nil {
			_ = conn.Close(context.Background())
			return
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(log.Name())
			s.t.Fatalf("PostgreSQL does not start: %v\n%s", err, text)
		}
	}
}

// stop ends the server and every connection to it, as `pg_ctl stop -m fast`.
func (s *server) stop() {
	if s.process == nil {
		return
	}
	_ = s.process.Signal(syscall.SIGINT)
	_, _ = s.process.Wait()
	s.process = nil
}
