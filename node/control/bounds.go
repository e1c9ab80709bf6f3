package control

import (
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/bizra/bizra-top/node/connections"
)

const (
	// maxConnections is how many connections each way in may have: screens, commands and
	// scripts of some people. One that does nothing gives way to a new one.
	maxConnections = 128
	leastRate      = 8 << 10 // bytes a second
)

// bounded bounds the connections of a way in.
func bounded(l net.Listener) net.Listener {
	return connections.NewListener(l, connections.Options{Name: "control", Max: func() int { return maxConnections },
		Share: func() float64 { return 1 }, Rate: func() int64 { return leastRate }})
}

// ServeAlso answers on one more listener until Close, such as on a socket that was made
// anew because its file was removed.
func (s *Server) ServeAlso(l net.Listener) error {
	if err := s.http.Serve(bounded(l)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the control socket: %w", err)
	}
	return nil
}
