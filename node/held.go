package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/control"
)

// heldPrefix begins the reason of a state that an operator put a breaker in.
const heldPrefix = "held "

// Held returns the actions that would bring about what operators hold by hand:
// breakers, drained providers, and traffic that is kept away.
func (n *Node) Held() (out []control.ActionRequest) {
	for _, b := range n.breakers {
		id := map[breaker.State]string{breaker.ForcedOpen: "breaker.force_open", breaker.ForcedClosed: "breaker.force_close",
			breaker.MetricsOnly: "breaker.metrics_only"}[b.State()]
		if id != "" {
			out = append(out, control.ActionRequest{ID: id, Target: b.Name(), Reason: strings.TrimPrefix(b.Snapshot().Reason, heldPrefix)})
		}
	}
	for _, s := range n.upstreams.Status() {
		if s.Drained {
			out = append(out, control.ActionRequest{ID: "upstream.drain", Target: s.Name})
		}
	}
	if n.server.HeldOut() {
		out = append(out, control.ActionRequest{ID: "node.drain"})
	}
	return out
}

// Hold does what Held returned of another process. What cannot be done any more is
// told of.
func (n *Node) Hold(ctx context.Context, held []control.ActionRequest) {
	operations := n.operations()
	for _, h := range held {
		err := errors.New("there is no such action, or nothing of that name")
		for _, o := range operations {
			if o.ID == h.ID && (o.TargetsNow == nil || slices.Contains(o.TargetsNow(), h.Target)) {
				err = o.Do(ctx, h.Target, h.Reason)
			}
		}
		if err != nil {
			n.event("node", "warn", h.Target, fmt.Sprintf("%s of the old process does not hold any more: %v", h.ID, err))
		}
	}
}
