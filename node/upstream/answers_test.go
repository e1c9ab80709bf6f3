package upstream_test

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/upstream"
)

// gibibyte writes a JSON-RPC answer of 1 GiB, as far as it is read.
func gibibyte(w io.Writer, id json.RawMessage) {
	_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":"0x`, id)
	chunk := []byte(strings.Repeat("0", 1<<20))
	for range 1 << 10 {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
	_, _ = io.WriteString(w, `"}`)
}

// Whatever a provider answers that is no answer to what it was asked is refused, soon, and
// without more memory than the bound on a body explains. A redirect is one of these: it is
// followed neither to another host nor to an address of the cloud's metadata, and nobody
// but the provider sees its credentials.
func TestAnswersThatAreNoneAreRefused(t *testing.T) {
	var reached atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { reached.Add(1) }))
	defer other.Close()
	text := func(format string) func(http.ResponseWriter, json.RawMessage) {
		return func(w http.ResponseWriter, id json.RawMessage) {
			_, _ = io.WriteString(w, strings.ReplaceAll(format, "ID", string(id)))
		}
	}
	moved := func(status int, to string) func(http.ResponseWriter, json.RawMessage) {
		return func(w http.ResponseWriter, _ json.RawMessage) {
			w.Header().Set("Location", to)
			w.WriteHeader(status)
		}
	}
	const result = `"result":"0x10"`
	cases := map[string]struct {
		answer func(w http.ResponseWriter, id json.RawMessage)
		kind   string
	}{
		"a web page": {text("<!DOCTYPE html><title>502</title>\x1b[2J"), upstream.KindMalformed},
		"nothing":    {text(""), upstream.KindMalformed},
		"cut JSON":   {text(`{"jsonrpc":"2.0","id":ID,"result":"0x`), upstream.KindMalformed},
		"a body shorter than it says": {func(w http.ResponseWriter, id json.RawMessage) {
			w.Header().Set("Content-Length", "1000")
			text(`{"jsonrpc":"2.0","id":ID,`+result+`}`)(w, id)
		}, upstream.KindConnection},
		"1 GiB": {func(w http.ResponseWriter, id json.RawMessage) { gibibyte(w, id) }, upstream.KindOversized},
		"1 GiB, packed": {func(w http.ResponseWriter, id json.RawMessage) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			gibibyte(z, id)
			_ = z.Close()
		}, upstream.KindOversized},
		"another id":                    {text(`{"jsonrpc":"2.0","id":1ID,` + result + `}`), upstream.KindMalformed},
		"the id as text":                {text(`{"jsonrpc":"2.0","id":"ID",` + result + `}`), upstream.KindMalformed},
		"no id":                         {text(`{"jsonrpc":"2.0",` + result + `}`), upstream.KindMalformed},
		"a batch with one id twice":     {text(`[{"jsonrpc":"2.0","id":ID,` + result + `},{"jsonrpc":"2.0","id":ID,"result":"0x11"}]`), upstream.KindMalformed},
		"NaN":                           {text(`{"jsonrpc":"2.0","id":ID,"result":NaN}`), upstream.KindMalformed},
		"infinity":                      {text(`{"jsonrpc":"2.0","id":ID,"result":-Infinity}`), upstream.KindMalformed},
		"a number no double can hold":   {text(`{"jsonrpc":"2.0","id":ID,"result":{"gas":1e999}}`), upstream.KindMalformed},
		"one of many digits":            {text(`{"jsonrpc":"2.0","id":ID,"result":[` + strings.Repeat("9", 400) + `]}`), upstream.KindMalformed},
		"a negative one":                {text(`{"jsonrpc":"2.0","id":ID,"result":-1E+400}`), upstream.KindMalformed},
		"neither result nor error":      {text(`{"jsonrpc":"2.0","id":ID}`), upstream.KindMalformed},
		"moved to another host, 301":    {moved(http.StatusMovedPermanently, other.URL), upstream.KindStatus},
		"moved to another host, 307":    {moved(http.StatusTemporaryRedirect, other.URL), upstream.KindStatus},
		"moved to another host, 308":    {moved(http.StatusPermanentRedirect, other.URL), upstream.KindStatus},
		"moved to a link-local address": {moved(http.StatusTemporaryRedirect, "http://169.254.169.254/latest/meta-data/"), upstream.KindStatus},
		"moved to one of IPv6":          {moved(http.StatusPermanentRedirect, "http://[fe80::1]/"), upstream.KindStatus},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var q struct{ ID json.RawMessage }
				if user, password, _ := r.BasicAuth(); json.NewDecoder(r.Body).Decode(&q) != nil || user != "operator" || password != "hunter2" {
					t.Errorf("the provider was asked by %q %q", user, password)
				}
				c.answer(w, q.ID)
			}))
			defer bad.Close()
			r := set(t, []string{strings.Replace(bad.URL, "://", "://operator:hunter2@", 1) + "/k3y-of-the-path"},
				map[string]string{"upstream.attempts": "1", "upstream.max_body": "1MiB", "upstream.attempt_timeout": "20s", "upstream.deadline": "20s"})
			defer r.runOnce(t)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			answer, err := r.Call(t.Context(), upstream.Question{Method: "eth_blockNumber", Params: json.RawMessage("[]")})
			took := time.Since(began)
			runtime.ReadMemStats(&after)
			var f *upstream.Failure
			if !errors.As(err, &f) || f.Kind != c.kind {
				t.Fatalf("%s, %v", answer.Result, err)
			}
			for _, secret := range []string{"hunter2", "k3y-of-the-path", "\x1b"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%q is told: %q", secret, err)
				}
			}
			// The body and its doubling, twice for both ends, which are one process here.
			if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
				t.Errorf("%d MiB were allocated", used>>20)
			}
			if took > 5*time.Second {
				t.Errorf("refused after %s", took)
			}
		})
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("the other host was asked %d times", n)
	}
	t.Logf("%d answers refused, another host asked %d times", len(cases), reached.Load())
}
