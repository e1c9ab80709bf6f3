package before

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/bizra/bizra-top/node/store"
	"github.com/bizra/bizra-top/node/validation"
)

// What the service keeps: so many verdicts, for as long as the node keeps what a
// reorganisation could change.
const (
	cacheRoom = 10_000
	cacheTTL  = 12 * time.Second
	closeWait = 5 * time.Second
)

// Server answers for verdicts as the node does: from the cache, or by asking the
// providers and writing to the database.
type Server struct {
	Cache     *Cache
	validator *validation.Validator
	pool      *Pool
	http      *http.Server
	listener  net.Listener
	stop      context.CancelFunc
	running   sync.WaitGroup
}

// Serve starts a service on a free loopback port. Close it.
func Serve(source *Source, chainID uint64, v validation.Settings, pool *Pool) (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{Cache: NewCache(cacheRoom, cacheTTL), validator: validation.New(source, chainID, v, nil), pool: pool, listener: l}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/blocks/{id}", s.handle(s.validator.Block))
	mux.HandleFunc("GET /v1/transactions/{id}", s.handle(s.validator.Transaction))
	mux.HandleFunc("GET /v1/addresses/{id}", s.handle(s.validator.Address))
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.running.Go(func() { s.Cache.Run(ctx) })
	s.running.Go(func() { _ = s.http.Serve(l) }) // it ends with Close
	return s, nil
}

// URL is where the service answers.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() }

// Close ends the service and waits for it.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	s.stop()
	s.running.Wait()
	return err
}

func (s *Server) handle(check func(ctx context.Context, id string) (validation.Verdict, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, ok := s.Cache.Get(r.URL.Path)
		if !ok {
			verdict, err := check(OneAtATime(r.Context()), r.PathValue("id"))
			if err == nil {
				body, err = json.Marshal(verdict)
			}
			if err == nil {
				err = s.pool.Write(r.Context(), store.Record{ID: verdict.ID, Kind: string(verdict.Kind), Subject: verdict.Subject,
					Outcome: string(verdict.Outcome), ChainID: verdict.ChainID, At: verdict.At, Body: body})
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
			s.Cache.Put(r.URL.Path, body)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	}
}
