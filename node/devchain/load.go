package devchain

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

const (
	// loadWorkers is how many clients a Load is.
	loadWorkers = 24
	// loadWave is how long the rate takes to go from low to high and back.
	loadWave = 40 * time.Second
	// reportEvery, reportFor and reporters say when how many clients read the
	// ledger all at once: enough to fill a small pool for a moment.
	reportEvery = 15 * time.Second
	reportFor   = 2 * time.Second
	reporters   = 6
)

// Load asks a node about this chain as its clients would: mostly for what is
// new, some of it through the JSON-RPC gateway, now and then for what does not
// exist. The rate goes up and down around Rate, and now and then several clients
// read the ledger at once.
type Load struct {
	Chain *Chain
	Node  string  // "http://127.0.0.1:3000"
	Rate  float64 // requests a second, on average
}

// Run asks until ctx is done.
func (l Load) Run(ctx context.Context) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: loadWorkers}}
	defer client.CloseIdleConnections()
	jobs := make(chan struct{})
	var wg sync.WaitGroup
	for i := range loadWorkers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			for range jobs {
				l.ask(ctx, client, random)
			}
		})
	}
	wg.Go(func() { l.report(ctx, client) })
	defer wg.Wait()
	defer close(jobs)
	began, due := time.Now(), 0.0
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for last := began; ; {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			phase := now.Sub(began).Seconds() / loadWave.Seconds() * 2 * math.Pi
			due += l.Rate * (1 + 0.5*math.Sin(phase)) * now.Sub(last).Seconds()
			last = now
		}
		for ; due >= 1; due-- {
			select {
			case jobs <- struct{}{}:
			default: // every client is waiting: real ones would not ask either
			}
		}
	}
}

// report lets several clients read the ledger at once, now and then.
func (l Load) report(ctx context.Context, client *http.Client) {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		until := time.Now().Add(reportFor)
		var wg sync.WaitGroup
		for range reporters {
			wg.Go(func() {
				for ctx.Err() == nil && time.Now().Before(until) {
					l.send(ctx, client, http.MethodGet, "/v1/validations?limit=500", "")
				}
			})
		}
		wg.Wait()
	}
}

// ask makes one request. Its outcome is the node's to count.
func (l Load) ask(ctx context.Context, client *http.Client, random *rand.Rand) {
	method, path, body := l.next(random)
	l.send(ctx, client, method, path, body)
}

func (l Load) send(ctx context.Context, client *http.Client, method, path, body string) {
	req, err := http.NewRequestWithContext(ctx, method, l.Node+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(req)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body) // so that the connection is used again
	_ = resp.Body.Close()
}

func (l Load) next(random *rand.Rand) (method, path, body string) {
	// Newer things are asked for more often.
	recent := func(n int) int { return int(float64(n) * math.Pow(random.Float64(), 3)) }
	head, _ := l.Chain.Head()
	block := head - min(head, uint64(recent(60)))
	transaction := "0x0000000000000000000000000000000000000000000000000000000000000000"
	if list := l.Chain.RecentTransactions(300); len(list) > 0 {
		transaction = list[recent(len(list))]
	}
	accounts := l.Chain.Accounts()
	account := accounts[recent(len(accounts))]
	rpc := func(format string, args ...any) (string, string, string) {
		return http.MethodPost, "/", fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":`+format+`}`, args...)
	}
	switch p := random.IntN(1000); {
	case p < 200:
		return http.MethodGet, "/v1/transactions/" + transaction, ""
	case p < 300:
		return http.MethodGet, fmt.Sprintf("/v1/blocks/%d", block), ""
	case p < 400:
		return http.MethodGet, "/v1/addresses/" + account, ""
	case p < 500:
		return http.MethodGet, "/v1/validations?limit=200", ""
	case p < 700:
		return rpc(`"eth_getBlockByNumber","params":["0x%x",true]`, block)
	case p < 850:
		return rpc(`"eth_getTransactionReceipt","params":["%s"]`, transaction)
	case p < 920:
		return rpc(`"eth_getBalance","params":["%s","latest"]`, account)
	case p < 990:
		return rpc(`"eth_blockNumber","params":[]`)
	case p < 997:
		return http.MethodGet, fmt.Sprintf("/v1/transactions/0x%064x", random.Uint64()), ""
	default:
		return http.MethodGet, "/v1/transactions/0xnothex", ""
	}
}
