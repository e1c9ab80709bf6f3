package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/bizra/bizra-top/node/printable"
)

// manager is the service manager that started this process, or none: then it does
// nothing. Its methods may be called from any goroutine.
type manager struct {
	log    *slog.Logger
	failed sync.Once
}

// tell sends lines of the sd_notify protocol.
func (m *manager) tell(lines ...string) {
	if _, err := daemon.SdNotify(false, strings.Join(lines, "\n")); err != nil {
		m.failed.Do(func() { m.log.Warn("the service manager cannot be told how the node is", "error", err) })
	}
}

// maxStatus bounds the line that systemctl status shows.
const maxStatus = 120

func status(text string) string { return "STATUS=" + printable.Clean(text, maxStatus) }

// reloading tells the manager of a reload while it lasts.
func (m *manager) reloading(reload func()) {
	m.tell(daemon.SdNotifyReloading, daemon.SdNotifyMonotonicUsec())
	defer m.tell(daemon.SdNotifyReady)
	reload()
}

// watch tells the manager's watchdog, where there is one, that the node lives as long
// as it does, until ctx ends. live is asked twice in the watchdog's time.
func (m *manager) watch(ctx context.Context, live func(context.Context) error) {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		m.log.Warn("the service manager's watchdog gets no answer", "error", err)
	}
	if err != nil || limit == 0 {
		return
	}
	tick := time.NewTicker(limit / 2)
	defer tick.Stop()
	dead := false
	for {
		limited, cancel := context.WithTimeout(ctx, limit/4)
		err := live(limited)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			m.tell(daemon.SdNotifyWatchdog)
		} else if !dead {
			m.log.Error("the node does not answer itself: the watchdog is not told that it lives", "error", err)
		}
		dead = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// liveAt asks /health/live at the address, as any other would.
func liveAt(address net.Addr) func(context.Context) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, address.Network(), address.String())
	}}}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/health/live", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("/health/live: %s", resp.Status)
		}
		return nil
	}
}

// activated returns the sockets that a service manager has opened for this process,
// by name.
func activated() (map[string]net.Listener, error) {
	given, err := activation.ListenersWithNames()
	if err != nil {
		return nil, fmt.Errorf("take the sockets of the service manager: %w", err)
	}
	out := map[string]net.Listener{}
	for name, listeners := range given {
		switch name {
		case socketAPI, socketControl, socketFleet:
			if len(listeners) == 1 {
				out[name] = listeners[0]
				continue
			}
			err = fmt.Errorf("the service manager gives %d sockets of the name %s; give one", len(listeners), name)
		default:
			err = fmt.Errorf("the service manager gives a socket of the name %s; name it in the unit with FileDescriptorName=%s, %s or %s",
				printable.Clean(name, 40), socketAPI, socketControl, socketFleet)
		}
	}
	if err != nil {
		for _, listeners := range given {
			for _, l := range listeners {
				err = errors.Join(err, l.Close())
			}
		}
		return nil, err
	}
	return out, nil
}
