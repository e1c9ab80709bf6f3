package main

import (
	"fmt"
	"net"

	"github.com/bizra/bizra-top/node/api"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/handover"
)

// The names of the sockets, in units of systemd and between two processes.
const (
	socketAPI     = "api"
	socketControl = "control"
	socketFleet   = "fleet"
)

// openSockets returns the sockets that this process serves: those of the process that
// it takes over from, or of the service manager. What is missing, and wanted before
// the node is built, is opened: the control socket, since whoever has it is the node
// of this place. After an error nothing stays open.
func openSockets(d declared, p place, from *handover.Predecessor) (_ *handover.Sockets, err error) {
	sockets := &handover.Sockets{}
	if from != nil {
		sockets = from.Sockets
	}
	defer func() {
		if err != nil {
			_ = sockets.Close(from != nil) // the first error is the one that matters
		}
	}()
	given, err := activated()
	if err != nil {
		return nil, err
	}
	for name, l := range given {
		if err := sockets.Add(name, l, false); err != nil {
			return nil, err
		}
	}
	if !sockets.Has(socketControl) {
		groups, err := d.access.Groups()
		if err != nil {
			return nil, err
		}
		l, err := control.Listen(p.socket, groups)
		if err != nil {
			return nil, err
		}
		if err := sockets.Add(socketControl, l, true); err != nil {
			return nil, err
		}
	}
	return sockets, nil
}

// listenAPI returns the API's socket, opened now if it is not yet.
func listenAPI(sockets *handover.Sockets, s api.Settings) (net.Listener, error) {
	if !sockets.Has(socketAPI) {
		l, err := api.Listen(s)
		if err != nil {
			return nil, err
		}
		if err := sockets.Add(socketAPI, l, true); err != nil {
			return nil, err
		}
	}
	return sockets.Listen(socketAPI)
}

// listenFleet returns the control door's socket over TCP, or nil unless control.listen
// is set.
func listenFleet(sockets *handover.Sockets, f control.Fleet) (net.Listener, error) {
	at := f.Listen.Get()
	if at == "" {
		return nil, nil
	}
	if !sockets.Has(socketFleet) {
		l, err := net.Listen("tcp", at)
		if err != nil {
			return nil, fmt.Errorf("listen on control.listen %s: %w", at, err)
		}
		if err := sockets.Add(socketFleet, l, true); err != nil {
			return nil, err
		}
	}
	return sockets.Listen(socketFleet)
}
