package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Identity tells one file or folder from another, whatever its path is. The zero value
// is that of nothing.
type Identity struct{ device, inode uint64 }

// Identify returns the identity of what is at a path now, the zero value where nothing
// is. It costs a microsecond.
func Identify(path string) (Identity, error) {
	var s syscall.Stat_t
	if err := syscall.Stat(path, &s); errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR) {
		return Identity{}, nil
	} else if err != nil {
		return Identity{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return Identity{uint64(s.Dev), s.Ino}, nil
}

// maxAside is how many things that were set aside are kept beside a file.
const maxAside = 4

// SetAside renames a damaged file to its name with ".damaged-" and the time, and returns
// that name. Files that go with it, such as the log of a database, are told by what
// their names have more, and are renamed alike. Of those set aside before, the newest few
// are kept.
func SetAside(path string, with ...string) (aside string, err error) {
	aside = path + ".damaged-" + time.Now().UTC().Format("20060102T150405.000Z")
	if err := os.Rename(path, aside); err != nil {
		return "", fmt.Errorf("set %s aside: %w", path, err)
	}
	for _, suffix := range with {
		if err := os.Rename(path+suffix, aside+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return aside, fmt.Errorf("set %s aside: %w", path+suffix, err)
		}
	}
	before, err := filepath.Glob(escape(path) + ".damaged-*Z")
	if err != nil {
		return aside, nil // a name that cannot be a pattern: nothing is lost but room
	}
	slices.Sort(before)
	for _, old := range before[:max(0, len(before)-maxAside)] {
		for _, suffix := range append([]string{""}, with...) {
			_ = os.Remove(old + suffix) // it may be gone; nothing is lost but room
		}
	}
	return aside, nil
}

// escape makes a pattern of a path that matches the path alone.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
