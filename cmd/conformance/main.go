// Conformance asks a real Ethereum client the questions of ethereum/execution-apis, directly
// and through a node's gateway, cold and again from its cache, and compares the answers.
//
// It needs geth, the node's binary, and the folder tests of a checkout of
// https://github.com/ethereum/execution-apis (genesis.json, chain.rlp, headfcu.json, and a
// folder of *.io files a method). `make conformance` brings the first two.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"time"
)

func main() {
	tests := flag.String("tests", "../shared/execution-apis", "the folder tests of execution-apis")
	geth := flag.String("geth", "geth", "geth's binary")
	node := flag.String("node", "./bizra-top", "the node's binary")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	failed, err := run(ctx, *tests, *geth, *node)
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(2)
	}
	if failed > 0 {
		os.Exit(1)
	}
}

// run returns how many questions were answered otherwise through the gateway.
func run(ctx context.Context, tests, geth, node string) (failed int, err error) {
	files, err := filepath.Glob(filepath.Join(tests, "*", "*.io"))
	if err != nil {
		return 0, err
	}
	if len(files) == 0 {
		return 0, fmt.Errorf("no questions in %s: clone https://github.com/ethereum/execution-apis and name its folder tests with -tests", tests)
	}
	dir, err := os.MkdirTemp("", "bizra-conformance")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	s := &stage{dir: dir}
	defer s.end()
	client, err := s.startGeth(ctx, geth, tests)
	if err != nil {
		return 0, fmt.Errorf("start geth: %w", err)
	}
	gateway, err := s.startNode(ctx, node, client)
	if err != nil {
		return 0, fmt.Errorf("start the node: %w", err)
	}
	asked, refused := 0, map[string]bool{}
	for _, file := range files {
		questions, err := read(file)
		if err != nil {
			return failed, err
		}
		for _, q := range questions {
			if method := methodOf(q); !served(method) {
				refused[method] = true
				continue
			}
			asked++
			want, err := ask(ctx, client, q)
			if err != nil {
				return failed, fmt.Errorf("%s: geth: %w", file, err)
			}
			for _, turn := range []string{"cold", "warm"} {
				got, err := ask(ctx, gateway, q)
				if err != nil {
					return failed, fmt.Errorf("%s: the gateway: %w", file, err)
				}
				if !same(got, want) {
					failed++
					fmt.Printf("%s, %s\n  asked   %s\n  geth    %d %s\n  gateway %d %s\n", strings.TrimPrefix(file, tests+"/"), turn, short(q), want.status, short(want.body), got.status, short(got.body))
				}
			}
		}
	}
	fmt.Printf("%d questions of methods that are served, asked twice: %d answers differ; %d methods are not served\n", asked, failed, len(refused))
	return failed, nil
}

// read returns the questions of a file.
func read(file string) (questions [][]byte, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		if q, ok := bytes.CutPrefix(lines.Bytes(), []byte(">> ")); ok {
			questions = append(questions, bytes.Clone(q))
		}
	}
	return questions, lines.Err()
}

func methodOf(question []byte) string {
	var q struct{ Method string }
	_ = json.Unmarshal(question, &q) // a question without a method is not served
	return q.Method
}

// served says whether the gateway serves a method.
func served(method string) bool {
	for _, namespace := range []string{"eth_", "net_", "web3_"} {
		if strings.HasPrefix(method, namespace) {
			return true
		}
	}
	return false
}

// reply is an answer over HTTP.
type reply struct {
	status int
	body   []byte
}

func ask(ctx context.Context, url string, question []byte) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(question))
	if err != nil {
		return reply{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, body}, err
}

// same compares what two answers mean.
func same(a, b reply) bool {
	var left, right any
	if json.Unmarshal(a.body, &left) != nil || json.Unmarshal(b.body, &right) != nil {
		return false
	}
	return a.status == b.status && reflect.DeepEqual(left, right)
}

func short(text []byte) string {
	const most = 300
	if len(text) > most {
		return fmt.Sprintf("%s… (%d bytes)", text[:most], len(text))
	}
	return string(text)
}
