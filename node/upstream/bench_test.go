package upstream_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// BenchmarkCall is a call that succeeds, over loopback, with three providers to choose from.
func BenchmarkCall(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct{ ID json.RawMessage }
		if body, err := io.ReadAll(r.Body); err != nil || json.Unmarshal(body, &q) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = w.Write(append(append([]byte(`{"jsonrpc":"2.0","id":`), q.ID...), `,"result":"0x12a05f200"}`...))
	}))
	defer server.Close()
	r := set(b, []string{server.URL, server.URL, server.URL}, nil)
	defer r.runOnce(b)
	for range 100 { // the providers are known, and so are the connections
		if err := r.number(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := r.number(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
