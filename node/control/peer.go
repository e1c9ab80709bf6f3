package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"slices"
	"strconv"
	"time"

	"github.com/bizra/bizra-top/node/connections"
	"github.com/bizra/bizra-top/node/control/trial"
	"github.com/bizra/bizra-top/node/settings"
)

// Role says what a peer may do. Each may do what the ones before it may.
type Role int

// The roles.
const (
	Nobody   Role = iota // is refused
	Viewer               // looks
	Operator             // changes what carries a low or medium risk, and takes back
	Admin                // everything: the node's own user, and root
)

func (r Role) String() string { return [...]string{"nobody", "viewer", "operator", "admin"}[r] }

// peer is who is at the other end.
type peer struct {
	name    string // uid:alice, cert:alice, or node
	uid     int64  // -1 for the node itself and for a certificate
	pid     int
	process process
	role    Role
}

// node is who acts when nobody does.
var node = peer{name: "node", uid: -1}

func (p peer) owner() trial.Owner { return trial.Owner{Name: p.name, UID: p.uid, Asker: p} }

type peerKey struct{}

func peerOf(r *http.Request) peer {
	p, _ := r.Context().Value(peerKey{}).(peer) // guard has refused who has none
	return p
}

// withPeer asks the kernel who is at the other end of a unix socket.
func (s *Server) withPeer(ctx context.Context, conn net.Conn) context.Context {
	c, ok := connections.Accepted(conn).(*net.UnixConn)
	if !ok {
		return ctx
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return ctx
	}
	var uid, gid uint32
	var pid int
	if raw.Control(func(fd uintptr) { uid, gid, pid, err = credentials(int(fd)) }) != nil || err != nil {
		return ctx
	}
	p := peer{uid: int64(uid), pid: pid, name: userName(strconv.Itoa(int(uid)))}
	groups := []string{strconv.Itoa(int(gid))}
	if u, err := user.LookupId(strconv.Itoa(int(uid))); err == nil {
		if more, err := u.GroupIds(); err == nil {
			groups = append(groups, more...)
		}
	}
	p.role = s.roleOf(uid, groups)
	p.process = processOf(p.pid, uid)
	return context.WithValue(ctx, peerKey{}, p)
}

// Access says which groups may use the socket beside the node's own user and root.
type Access struct {
	ViewerGroup, OperatorGroup *settings.Value[string]
	Fleet                      Fleet
}

// RevertAfter is the key of how long a screen has changes on trial.
const RevertAfter = "control.revert_after"

// Declare declares who may use the control socket, and how.
func Declare(r *settings.Registry) Access {
	settings.Duration(r, settings.Spec{Key: RevertAfter, Min: 5, Max: 3600, Step: 30,
		Doc: "How long a change made on the screen is on trial: unless it is kept by then, it goes back."}, 2*time.Minute)
	return Access{
		Fleet: declareFleet(r),
		ViewerGroup: settings.String(r, settings.Spec{Key: "control.viewer_group", Restart: true, Risk: settings.RiskHigh,
			Doc: "Group whose members may look through the control socket; empty for none."}, ""),
		OperatorGroup: settings.String(r, settings.Spec{Key: "control.operator_group", Restart: true, Risk: settings.RiskHigh,
			Doc: "Group whose members may also change what carries no high risk; empty for none."}, ""),
	}
}

// Groups are numbers of groups, "" for none.
type Groups struct{ viewer, operator string }

// Groups finds the groups on this host.
func (a Access) Groups() (g Groups, err error) {
	find := func(key, name string) string {
		if name == "" {
			return ""
		}
		found, failed := user.LookupGroup(name)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", key, failed))
			return ""
		}
		return found.Gid
	}
	g.viewer = find("control.viewer_group", a.ViewerGroup.Get())
	g.operator = find("control.operator_group", a.OperatorGroup.Get())
	return g, err
}

// open says whether others than the node's user may come in.
// Any says whether a group is let in.
func (g Groups) Any() bool { return g.viewer != "" || g.operator != "" }

func (s *Server) roleOf(uid uint32, groups []string) Role {
	switch g := s.host.Groups; {
	case uid == 0 || int(uid) == os.Getuid():
		return Admin
	case g.operator != "" && slices.Contains(groups, g.operator):
		return Operator
	case g.viewer != "" && slices.Contains(groups, g.viewer):
		return Viewer
	}
	return Nobody
}

// may refuses what a peer's role does not cover.
func may(p peer, needs Role, what string) error {
	if p.role >= needs {
		return nil
	}
	return &Problem{http.StatusForbidden, fmt.Sprintf("%s needs the role %s; %s has the role %s", what, needs, p.name, p.role)}
}

// needs returns the role for a risk.
func needs(risk string) Role {
	if risk == string(settings.RiskHigh) {
		return Admin
	}
	return Operator
}

func (s *Server) mayChange(p peer, batch []settings.Change) error {
	for _, b := range batch {
		if found, err := s.host.Registry.Get(b.Key); err == nil {
			if err := may(p, needs(string(found.Risk)), "changing "+b.Key); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Server) mayChangeKeys(p peer, changes []Changed) error {
	for _, c := range changes {
		if err := may(p, needs(c.Risk), "changing "+c.Key); err != nil {
			return err
		}
	}
	return nil
}
