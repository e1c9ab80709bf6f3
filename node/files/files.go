// Package files opens what a node keeps on disk and what operators write for it.
// What stands at a path is not trusted: a named pipe would be waited for for ever, a
// device may do something when it is opened, a symbolic link leads elsewhere, and a
// file of another user says what that user likes. Nothing here blocks on what is not
// a regular file.
//
// [Open] and [Read] are for files that operators write: configuration, rules,
// themes, panels, certificates. They may be symbolic links, and belong to anybody.
// [OpenState], [ReadState], [CheckState] and [Folder] are for what the node writes
// itself: it belongs to the node's user or root, and nobody else may read it.
package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// ErrNotRegular says that something else than a regular file is at a path.
var ErrNotRegular = errors.New("not a regular file")

// ErrOwner says that a file or folder belongs to another user.
var ErrOwner = errors.New("it belongs to another user")

// ErrTooLarge says that a file is larger than it may be.
var ErrTooLarge = errors.New("larger than it may be")

// stateMode is the mode of every state file, folderMode of every state folder.
const (
	stateMode  fs.FileMode = 0o600
	folderMode fs.FileMode = 0o700
)

// never says how everything is opened: no waiting for the other end of a pipe, and no
// terminal that becomes the controlling one.
const never = unix.O_NONBLOCK | unix.O_NOCTTY

// Open opens a regular file for reading, through symbolic links.
func Open(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := regular(path, info); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|never, 0)
	if err != nil {
		return nil, err
	}
	// It may have been replaced since.
	if info, err = f.Stat(); err == nil {
		err = regular(path, info)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Read returns what [Open] opens. More than most bytes are [ErrTooLarge].
func Read(path string, most int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	return readAll(f, most)
}

func readAll(f *os.File, most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("%s is %w: more than %d bytes", f.Name(), ErrTooLarge, most)
	}
	return data, nil
}

// OpenState opens a state file with the flags of [os.OpenFile], and creates it with
// os.O_CREATE. A file that others may read is closed to them.
func OpenState(path string, flag int) (*os.File, error) {
	if err := CheckState(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var f *os.File
	err := WithReserve(func() (err error) {
		f, err = os.OpenFile(path, flag|never|unix.O_NOFOLLOW, stateMode)
		return err
	})
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = errors.Join(regular(path, info), owned(path, info))
	}
	if err == nil && info.Mode().Perm()&0o077 != 0 && ours(info) {
		err = f.Chmod(stateMode)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// ReadState returns what a state file holds. More than most bytes are [ErrTooLarge].
func ReadState(path string, most int64) ([]byte, error) {
	f, err := OpenState(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	return readAll(f, most)
}

// CheckState says what is wrong with a state file that a library opens by its path: the
// error is [fs.ErrNotExist] where there is none, and nil where [OpenState] would open
// it. A file that others may read is closed to them.
func CheckState(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if err := errors.Join(regular(path, info), owned(path, info)); err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 && ours(info) {
		return os.Chmod(path, stateMode)
	}
	return nil
}

// regular says what is at path if it is no regular file.
func regular(path string, info fs.FileInfo) error {
	if info.Mode().IsRegular() {
		return nil
	}
	return fmt.Errorf("%s is %s, %w; move it away", path, kind(info.Mode()), ErrNotRegular)
}

func kind(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a folder"
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "something else"
}
