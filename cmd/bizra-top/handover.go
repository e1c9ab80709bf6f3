package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/handover"
	"github.com/bizra/bizra-top/node/settings"
)

// past is what a process leaves to the one that takes over.
type past struct {
	PID    int                     `json:"pid"`
	Closed time.Time               `json:"closed"` // when it stopped accepting
	Live   []settings.Change       `json:"live"`   // kept changes, which may hold secrets
	Held   []control.ActionRequest `json:"held"`   // what operators hold by hand
}

func (p past) text(connections int) string {
	return fmt.Sprintf("took over from process %d: %d idle connections, %d live values, %d things held by hand; nothing was accepted for %s",
		p.PID, connections, len(p.Live), len(p.Held), time.Since(p.Closed).Round(time.Millisecond))
}

// program is the path that this process was started from, as it was then: what lies
// there may have been replaced since.
func program() (string, error) {
	path, err := exec.LookPath(os.Args[0])
	if err != nil { // whoever started it gave it another name
		path, err = os.Executable()
	}
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return "", fmt.Errorf("find the program's file: %w", err)
	}
	return path, nil
}

// succession hands a service over to a new process, once.
type succession struct {
	program   string
	sockets   *handover.Sockets
	log       *slog.Logger
	successor *handover.Successor
	left      past
}

// prepare starts the new process and, when that is ready, has the service close: the
// door first, so that no change is lost. It says whether that is so; if not, the
// service goes on.
func (h *succession) prepare(ctx context.Context, s *service) bool {
	s.tell("node", "info", "handover", "starting "+h.program+" to hand over to")
	s.manager.tell(status("handing over to a new process"))
	successor, err := handover.Start(ctx, h.program, os.Args[1:], h.sockets)
	if ctx.Err() != nil { // the node is to stop
		if err == nil {
			err = successor.Abandon(ctx.Err())
		}
		h.log.Warn("the handover was given up", "error", err)
		return false
	}
	if err != nil {
		s.door.GoOn(err)
		s.manager.tell(s.status())
		return false
	}
	h.left = past{PID: os.Getpid(), Held: s.node.Held()}
	if err := s.door.Close(); err != nil {
		h.log.Warn("close the control door", "error", err)
	}
	h.left.Live = s.door.HandOver(successor.PID())
	h.left.Closed = time.Now()
	h.successor = successor
	s.node.HandOver(successor.Give)
	return true
}

// finish waits until the new process serves. After an error this one must go on.
func (h *succession) finish(ctx context.Context, m *manager) error {
	successor := h.successor
	h.successor = nil
	if err := successor.Yield(ctx, h.left); err != nil {
		return err
	}
	m.tell("MAINPID=" + strconv.Itoa(successor.PID()))
	h.log.Info("handed over", "process", successor.PID(), "took", time.Since(h.left.Closed).Round(time.Millisecond))
	return nil
}

// errOnlyHere says why a node is not handed over.
var errOnlyHere = errors.New("this node cannot be handed over: its parts live in this process (demo)")
