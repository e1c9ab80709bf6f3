package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// owner returns the number of the user a file belongs to.
func owner(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }

// ours says whether a file belongs to the user of this process.
func ours(info fs.FileInfo) bool { return owner(info) == os.Geteuid() }

// owned says whether the node may use what it found: its own, or root's, who may do
// everything anyway and owns the volumes of containers.
func owned(path string, info fs.FileInfo) error {
	if ours(info) || owner(info) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w (uid %d, this process runs as uid %d); move it away, run as that user, or choose another folder with --state-dir",
		path, ErrOwner, owner(info), os.Geteuid())
}

// Folder creates a state folder, or checks one that is there: it is a folder, it
// belongs to the node's user or root, and files can be made in it. A folder of the
// node's user that others may look into or write to is closed to them; where pass is
// true they may still go through it to what they know the name of, such as the control
// socket. The folder itself may be reached through a symbolic link. The warning, if it
// is not empty, says what is open to others and cannot be closed.
func Folder(path string, pass bool) (warning string, err error) {
	if err := os.MkdirAll(path, folderMode); err != nil {
		return "", explain(path, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", explain(path, err)
	}
	if !info.IsDir() { // MkdirAll would have said so
		return "", fmt.Errorf("%s is %s, not a folder; choose another with --state-dir", path, kind(info.Mode()))
	}
	if err := owned(path, info); err != nil {
		return "", err
	}
	most := folderMode
	if pass {
		most |= 0o011
	}
	open := info.Mode().Perm() &^ most
	if open == 0 {
		return "", nil
	}
	if !ours(info) {
		if open&0o002 != 0 {
			return fmt.Sprintf("every user of this host may write to the state folder %s, which belongs to root: files of others in it are refused, but they can remove the node's; chmod o-w %s", path, path), nil
		}
		return "", nil
	}
	if err := os.Chmod(path, info.Mode().Perm()&most|folderMode); err != nil {
		return "", fmt.Errorf("close the state folder to other users: %w; choose another with --state-dir", err)
	}
	return "", nil
}

// explain says of an error at creating or reaching a folder what to do.
func explain(path string, err error) error {
	var at *fs.PathError
	switch {
	case errors.Is(err, syscall.ENOTDIR) && errors.As(err, &at):
		what := "a file"
		if info, err := os.Lstat(at.Path); err == nil && !info.Mode().IsRegular() {
			what = kind(info.Mode())
		}
		return fmt.Errorf("the folder %s cannot be made, since %s is %s; move it away, or choose another folder with --state-dir", path, at.Path, what)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the state folder %s cannot be made or reached by uid %d: %w; make it for this user, or choose another with --state-dir", path, os.Geteuid(), err)
	}
	return fmt.Errorf("create the state folder: %w; choose another with --state-dir", err)
}

// Tighten closes to other users the state files that are in a folder already, and the
// folders in it: earlier versions left some of them readable. What belongs to others is
// left alone, since it is refused when it is opened. It looks at most files, so that a
// folder of something else is not walked through.
func Tighten(dir string, most int) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // gone meanwhile
			}
			return err
		}
		if most--; most < 0 {
			return fs.SkipAll
		}
		if path == dir || d.Type()&^fs.ModeDir != 0 { // links, sockets, pipes
			return nil
		}
		info, err := d.Info()
		if err != nil || !ours(info) || info.Mode().Perm()&0o077 == 0 {
			return nil
		}
		if err := os.Chmod(path, info.Mode().Perm()&0o700); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("close %s to other users: %w", path, err)
		}
		return nil
	})
}

// CheckTree says what in a folder is neither a regular file nor a folder, or belongs to
// another user, so that a library that opens what is in there waits for nothing. It looks
// at most files.
func CheckTree(dir string, most int) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // gone meanwhile
			}
			return err
		}
		if most--; most < 0 {
			return fs.SkipAll
		}
		info, err := d.Info()
		if err != nil {
			return nil // gone meanwhile
		}
		if !d.IsDir() {
			if err := regular(path, info); err != nil {
				return err
			}
		}
		return owned(path, info)
	})
}
