package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/bizra/bizra-top/node/devchain"
)

// bodySize is the size of a cached answer of the gateway: a block with a handful
// of transactions.
const bodySize = 4 << 10

// headBlock is the newest block of the synthetic provider; all that is asked for is
// far below.
const headBlock = 10_000_000

// serve is the program run as one of the servers that are measured, or that what is
// measured needs. It prints where it listens and serves until it is told to end.
func serve(what string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if what == "chain" {
		chain, err := devchain.Start(ctx, devchain.Config{Seed: 1, Prefill: 200, Providers: 3, Traffic: true, MinTx: 4, MaxTx: 6})
		if err != nil {
			return err
		}
		fmt.Println(strings.Join(chain.URLs(), " "))
		<-ctx.Done()
		return chain.Close()
	}
	handler := map[string]http.HandlerFunc{"plain": plain(), "provider": provide}[what]
	if handler == nil {
		return fmt.Errorf("there is no server %q", what)
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.Handler())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" { // as the node does: the busiest route needs no search
			handler(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})}
	fmt.Println("http://" + l.Addr().String())
	go func() {
		<-ctx.Done()
		_ = server.Close() // nothing of it is worth finishing
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// plain answers every request with the same body: the least net/http can do.
func plain() http.HandlerFunc {
	body := []byte(`{"jsonrpc":"2.0","id":1,"result":` + block(1) + `}`)
	length := strconv.Itoa(len(body))
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", length)
		_, _ = w.Write(body)
	}
}

// provide is a JSON-RPC provider of blocks that are a function of their number.
func provide(w http.ResponseWriter, r *http.Request) {
	var req struct {
		ID     json.RawMessage
		Method string
		Params []any
	}
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	result := "null"
	switch req.Method {
	case "eth_chainId":
		result = `"0x7a69"`
	case "eth_blockNumber":
		result = fmt.Sprintf(`"0x%x"`, headBlock)
	case "eth_getBlockByNumber", "eth_getBlockByHash":
		name := fmt.Sprint(req.Params[0])
		number := uint64(headBlock)
		if digits, ok := strings.CutPrefix(name, "0x"); ok {
			digits = digits[max(0, len(digits)-16):] // a hash ends in its block's number
			var err error
			if number, err = strconv.ParseUint(digits, 16, 64); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
		}
		result = block(number)
	}
	body := `{"jsonrpc":"2.0","id":` + string(req.ID) + `,"result":` + result + `}`
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = io.WriteString(w, body)
}

func block(number uint64) string {
	head := fmt.Sprintf(`{"number":"0x%x","hash":"0x%064x","parentHash":"0x%064x","extraData":"0x`, number, number, number-1)
	return head + strings.Repeat("5a", (bodySize-len(head)-2)/2) + `"}`
}
