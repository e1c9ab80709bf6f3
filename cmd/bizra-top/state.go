package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/bizra/bizra-top/node/files"
	"github.com/bizra/bizra-top/node/settings"
)

// errNoHome says that nothing tells where the state is kept. A folder that everybody may
// write to, such as /tmp, is no place for it: whoever makes it there first decides what the
// node does.
var errNoHome = errors.New("HOME is not set to an absolute path, so there is no place to keep state in; choose one with --state-dir, or set XDG_STATE_HOME")

// userFolder returns a folder of the XDG base directory specification: what the variable
// says, or below HOME. A path that is not absolute is ignored, as the specification says.
func userFolder(variable string, below ...string) (string, error) {
	if dir := os.Getenv(variable); filepath.IsAbs(dir) {
		return filepath.Clean(dir), nil
	}
	if home := os.Getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(append([]string{home}, below...)...), nil
	}
	return "", errNoHome
}

// defaultStateDir is /var/lib/bizra-top for root, where services keep their
// state, and the XDG state folder for everyone else.
func defaultStateDir() (string, error) {
	if os.Getuid() == 0 {
		return "/var/lib/bizra-top", nil
	}
	dir, err := userFolder("XDG_STATE_HOME", ".local", "state")
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "bizra-top"), nil
}

// ownFiles is a place in the operator's own configuration folder, or "" where there is
// none.
func ownFiles(name string) string {
	dir, err := userFolder("XDG_CONFIG_HOME", ".config")
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "bizra-top", name)
}

func auditPath(stateDir string) string     { return filepath.Join(stateDir, "audit.jsonl") }
func overridesPath(stateDir string) string { return filepath.Join(stateDir, "overrides.yaml") }

// statePath returns the state folder.
func (o *options) statePath() (string, error) {
	if o.stateDir != "" {
		return o.stateDir, nil
	}
	return defaultStateDir()
}

// socketPath returns the control socket, or "" where nothing says which it is: checkState
// has refused then.
func (o *options) socketPath() string {
	if o.socket != "" {
		return o.socket
	}
	dir, err := o.statePath()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "control.sock")
}

// checkState refuses a command that talks to the node of this host while nothing says
// where that is.
func (o *options) checkState(cmd *cobra.Command) error {
	top := cmd
	for top.HasParent() && top.Parent().HasParent() {
		top = top.Parent()
	}
	switch top.Name() {
	case "demo", "config", "export", "bench", "help", "completion", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd, "man":
		return nil
	}
	if o.socket != "" || o.node != "" || o.fleet.url != "" {
		return nil
	}
	_, err := o.statePath()
	return err
}

// maxTightened bounds how many files of a state folder are looked at at start.
const maxTightened = 10_000

// prepareState makes the state folder, or checks the one that is there, and closes what is
// in it to other users. From here on nothing that this process makes can be read by
// others. The warning, if it is not empty, is for whoever runs the node.
func prepareState(d declared, p place) (warning string, err error) {
	unix.Umask(0o077)
	files.Reserve()
	groups, err := d.access.Groups()
	if err != nil {
		return "", err
	}
	// Groups that may use the control socket must reach it.
	pass := groups.Any() && filepath.Dir(p.socket) == filepath.Clean(p.stateDir)
	if warning, err = files.Folder(p.stateDir, pass); err != nil {
		return "", err
	}
	return warning, files.Tighten(p.stateDir, maxTightened)
}

// loadOverrides puts what was saved in force. Rows of another version are kept.
func loadOverrides(r *settings.Registry, path string) error {
	data, err := files.ReadState(path, maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("read what was saved: %w", err)
	}
	changes, unknown, err := r.ParseOverrides(path, data)
	if err == nil {
		err = r.Load(settings.SourceOverrides, changes)
	}
	if err != nil {
		return fmt.Errorf("%w; these are changes that were saved: mend the file, or move it away", err)
	}
	r.KeepUnknown(unknown)
	return nil
}

// unknownText says of a row of the overrides what became of it.
func unknownText(path string, u settings.Unknown) string {
	return fmt.Sprintf("%s:%d: %s is unknown to this version: the row is ignored, and kept for the version that knows it", path, u.Line, u.Key)
}
