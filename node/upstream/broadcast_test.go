package upstream_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/bizra/bizra-top/node/upstream"
)

// signed is a transaction to send, and its hash in JSON.
func signed(t *testing.T) (upstream.Question, string) {
	t.Helper()
	key, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	tx, err := types.SignNewTx(key, types.LatestSignerForChainID(big.NewInt(1)), &types.DynamicFeeTx{ChainID: big.NewInt(1), Gas: 21000, GasFeeCap: big.NewInt(2), GasTipCap: big.NewInt(1)})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return upstream.Question{Method: "eth_sendRawTransaction", Params: json.RawMessage(`["` + hexutil.Encode(raw) + `"]`)}, `"` + tx.Hash().Hex() + `"`
}

// The first provider answered a signed transaction with 429 or cut the connection, and the
// client got 502: the second was never asked.
func TestATransactionThatOneProviderDoesNotTakeIn(t *testing.T) {
	q, hash := signed(t)
	for name, bad := range map[string]answer{
		"429": plain(429), "403": plain(403), "reset": reset, "500": plain(500), "quota": says(200, -32005, "project ID request rate exceeded"),
		"no method": says(200, -32601, "Method not found"), "txpool is full": says(200, -32000, "txpool is full"), "strange": says(200, -32050, "the moon"),
		"null": gives("null"),
	} {
		t.Run(name, func(t *testing.T) {
			r, asked := crowd(t, nil, bad, gives(hash))
			a, err := r.Broadcast(t.Context(), q, 1)
			if err != nil || string(a.Result) != hash || a.Provider != "p1" {
				t.Fatalf("%s %s %v", a.Provider, a.Result, err)
			}
			if asked[0].Load() != 1 || asked[1].Load() != 1 {
				t.Errorf("asked %d and %d times", asked[0].Load(), asked[1].Load())
			}
		})
	}
}

func TestBroadcast(t *testing.T) {
	q, hash := signed(t)
	known, low, poor := says(200, -32000, "already known"), says(200, -32000, "nonce too low: next nonce 8, tx nonce 4"), says(200, -32000, "insufficient funds for gas * price + value")
	late := func(a answer) answer {
		return func(w http.ResponseWriter, id json.RawMessage) { time.Sleep(30 * time.Millisecond); a(w, id) }
	}
	for name, c := range map[string]struct {
		answers []answer
		n       int
		want    string // in the error; empty for success
	}{
		"one accepts":                  {[]answer{poor, late(gives(hash)), poor}, 3, ""},
		"known already":                {[]answer{known, known, known}, 3, ""},
		"known, nonce too low":         {[]answer{low, late(known), low}, 3, ""},
		"nonce too low, accepted":      {[]answer{low, low, late(gives(hash))}, 3, ""},
		"nonce too low everywhere":     {[]answer{low, low, low}, 3, "nonce too low"},
		"no money":                     {[]answer{poor, poor, poor}, 3, "insufficient funds"},
		"verdict over faults":          {[]answer{plain(500), plain(429), poor}, 1, "insufficient funds"},
		"everybody refuses":            {[]answer{plain(429), plain(429)}, 3, "quota"},
		"nobody can":                   {[]answer{plain(500), plain(500)}, 3, "HTTP 500"},
		"upper case":                   {[]answer{gives(strings.Replace(strings.ToUpper(hash), "0X", "0x", 1))}, 3, ""},
		"a liar, and an honest one":    {[]answer{gives(`"0x00"`), late(gives(hash))}, 2, ""},
		"a liar alone":                 {[]answer{gives(`"0x00"`)}, 1, "not the hash"},
		"a verdict goes no further":    {[]answer{poor, gives(hash)}, 1, "insufficient funds"},
		"faults go on, beyond n":       {[]answer{plain(500), reset, plain(403), plain(429), gives(hash)}, 1, ""},
		"more than there are":          {[]answer{gives(hash)}, 16, ""},
		"one hangs, others accept":     {[]answer{hang, gives(hash), hang}, 3, ""},
		"one hangs, others refuse":     {[]answer{poor, hang, poor}, 3, "insufficient funds"},
		"known in words of nethermind": {[]answer{says(200, -32010, "AlreadyKnown")}, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := crowd(t, map[string]string{"upstream.attempt_timeout": "2s"}, c.answers...)
			began := time.Now()
			a, err := r.Broadcast(t.Context(), q, c.n)
			if took := time.Since(began); took > 1500*time.Millisecond {
				t.Errorf("answered after %s", took)
			}
			switch {
			case c.want == "" && (err != nil || string(a.Result) != hash):
				t.Errorf("%s %v", a.Result, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%s %v", a.Result, err)
			}
			if lies := r.Status()[0].Lies; lies > 0 != strings.HasPrefix(name, "a liar") {
				t.Errorf("%d lies", lies)
			}
		})
	}
}

// hang answers nothing until whoever asks gives up.
func hang(http.ResponseWriter, json.RawMessage) { time.Sleep(1800 * time.Millisecond) }

// A client that leaves does not take its transaction back, and Run waits for what is under
// way.
func TestABroadcastOutlivesItsCaller(t *testing.T) {
	q, hash := signed(t)
	slow := func(w http.ResponseWriter, id json.RawMessage) {
		time.Sleep(200 * time.Millisecond)
		gives(hash)(w, id)
	}
	r, asked := crowd(t, nil, slow, slow)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.Broadcast(ctx, q, 2); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%v", err)
	}
	r.runOnce(t)
	for i, s := range r.Status() {
		if s.InFlight != 0 || asked[i].Load() != 1 || s.Failures != 0 {
			t.Errorf("%+v", s)
		}
	}
	if _, err := r.Broadcast(t.Context(), q, 2); !errors.Is(err, upstream.ErrUnavailable) {
		t.Errorf("after the end: %v", err)
	}
}

// What is no transaction that is known here is passed on, and so is the answer.
func TestBroadcastOfWhatIsNotKnownHere(t *testing.T) {
	for _, params := range []string{`["0x7e01"]`, `["0x"]`, `[]`, `[1]`, `["0xzz"]`} {
		r, _ := crowd(t, nil, gives(`"0xabc"`))
		a, err := r.Broadcast(t.Context(), upstream.Question{Method: "eth_sendRawTransaction", Params: json.RawMessage(params)}, 3)
		if err != nil || string(a.Result) != `"0xabc"` || r.Status()[0].Lies != 0 {
			t.Errorf("%s: %s %v", params, a.Result, err)
		}
	}
}
