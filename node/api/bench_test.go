package api_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// blank is a response that keeps nothing.
type blank struct {
	header http.Header
	status int
	length int
}

func (b *blank) Header() http.Header { return b.header }
func (b *blank) WriteHeader(s int)   { b.status = s }
func (b *blank) Write(p []byte) (int, error) {
	b.length += len(p)
	return len(p), nil
}

// BenchmarkCached is what a request that L1 answers costs beside net/http: its
// allocations are the node's own.
func BenchmarkCached(b *testing.B) {
	r := start(b, options{})
	block := request("eth_getBlockByNumber", "0x1", true)
	for name, c := range map[string]struct{ method, path, body string }{
		"gateway":              {"POST", "/", block},
		"gateway, batch of 10": {"POST", "/", "[" + string(bytes.Repeat([]byte(block+","), 9)) + block + "]"},
		"verdict":              {"GET", "/v1/blocks/1", ""},
	} {
		b.Run(name, func(b *testing.B) {
			body := bytes.NewReader([]byte(c.body))
			req := httptest.NewRequest(c.method, c.path, body)
			req.ContentLength = int64(len(c.body))
			w := &blank{header: http.Header{}}
			serve := func() {
				body.Reset([]byte(c.body))
				req.Body = io.NopCloser(body)
				clear(w.header)
				w.length = 0
				r.server.ServeHTTP(w, req)
			}
			serve()
			b.ReportAllocs()
			for b.Loop() {
				serve()
			}
			if w.status != http.StatusOK {
				b.Fatal(w.status)
			}
			b.SetBytes(int64(w.length))
		})
	}
}
