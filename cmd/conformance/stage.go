package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/golang-jwt/jwt/v4"
)

// stage is the processes that are compared.
type stage struct {
	dir     string
	running []*exec.Cmd
}

// end stops the processes, the last one first.
func (s *stage) end() {
	for i := len(s.running) - 1; i >= 0; i-- {
		cmd := s.running[i]
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		late := time.AfterFunc(15*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait() // how it ended is its own affair
		late.Stop()
	}
}

// start runs a program until the stage ends. What it says goes to a file.
func (s *stage) start(name string, args ...string) error {
	log, err := os.Create(filepath.Join(s.dir, filepath.Base(name)+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // ctrl+c is for this program to pass on
	if err := cmd.Start(); err != nil {
		return err
	}
	s.running = append(s.running, cmd)
	return nil
}

// startGeth starts geth on the chain of the tests, and returns its address.
func (s *stage) startGeth(ctx context.Context, geth, tests string) (url string, err error) {
	data := filepath.Join(s.dir, "geth")
	for _, args := range [][]string{
		{"init", "--datadir", data, filepath.Join(tests, "genesis.json")},
		{"import", "--datadir", data, "--nocompaction", filepath.Join(tests, "chain.rlp")},
	} {
		if out, err := exec.CommandContext(ctx, geth, args...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("geth %s: %w: %s", args[0], err, out)
		}
	}
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return "", err
	}
	file := filepath.Join(s.dir, "jwt")
	if err := os.WriteFile(file, []byte(hex.EncodeToString(secret)), 0o600); err != nil {
		return "", err
	}
	port, engine, err := freePorts()
	if err != nil {
		return "", err
	}
	err = s.start(geth, "--datadir", data, "--http", "--http.port", port, "--http.api", "eth,net,web3,debug,txpool", "--authrpc.port", engine,
		"--authrpc.jwtsecret", file, "--nodiscover", "--maxpeers", "0", "--port", "0", "--syncmode", "full", "--gcmode", "archive", "--ipcdisable")
	if err != nil {
		return "", err
	}
	choice, err := os.ReadFile(filepath.Join(tests, "headfcu.json"))
	if err != nil {
		return "", err
	}
	if err := until(ctx, func() error { return chooseHead(ctx, "http://127.0.0.1:"+engine, secret, choice) }); err != nil {
		return "", err
	}
	return "http://127.0.0.1:" + port, nil
}

// chooseHead tells geth which block is the head, as a consensus client would.
func chooseHead(ctx context.Context, url string, secret, choice []byte) error {
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{IssuedAt: jwt.NewNumericDate(time.Now())}).SignedString(secret)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(choice))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var said bytes.Buffer
	if _, err := said.ReadFrom(resp.Body); err != nil {
		return err
	}
	if !bytes.Contains(said.Bytes(), []byte(`"VALID"`)) {
		return fmt.Errorf("engine_forkchoiceUpdated: %d %s", resp.StatusCode, said.Bytes())
	}
	return nil
}

// startNode starts a node on the client, by two names, and returns its address.
func (s *stage) startNode(ctx context.Context, node, client string) (url string, err error) {
	port, _, err := freePorts()
	if err != nil {
		return "", err
	}
	conf := filepath.Join(s.dir, "bizra-top.yaml")
	if err := os.WriteFile(conf, []byte(fmt.Sprintf("upstream:\n  providers: [\"one=%s\", \"two=%s\"]\n", client, client)), 0o600); err != nil {
		return "", err
	}
	state := filepath.Join(s.dir, "state")
	if err := s.start(node, "--headless", "--config", conf, "--listen", "127.0.0.1:"+port, "--state-dir", state); err != nil {
		return "", err
	}
	url = "http://127.0.0.1:" + port
	return url, until(ctx, func() error {
		resp, err := http.Get(url + "/health/ready")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("/health/ready answers %d", resp.StatusCode)
		}
		return nil
	})
}

// until tries for half a minute.
func until(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// freePorts returns two ports that nobody listens on.
func freePorts() (a, b string, err error) {
	var ports [2]string
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", err
		}
		defer l.Close()
		_, ports[i], _ = net.SplitHostPort(l.Addr().String())
	}
	return ports[0], ports[1], nil
}
