// Package statefile keeps one small JSON document on disk, so that it is there
// after a crash: whole as it was, or whole as it became.
package statefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/bizra/bizra-top/node/files"
)

// maxSize bounds what is read of a document.
const maxSize = 64 << 20

// ErrSetAside says that the document was damaged, and by what name it is kept.
var ErrSetAside = errors.New("damaged and set aside")

// Load reads the document at path into v, which stays as it is when there is
// none. A document that cannot be understood is renamed to path.damaged-TIME, of which
// the newest few are kept, and the error is [ErrSetAside]: go on without it.
func Load(path string, v any) error {
	data, err := files.ReadState(path, maxSize)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil && !errors.Is(err, files.ErrTooLarge):
		return err
	case err == nil:
		err = json.Unmarshal(data, v)
	}
	if err == nil {
		return nil
	}
	aside, renamed := files.SetAside(path)
	if renamed != nil {
		return fmt.Errorf("%s is damaged (%w) and cannot be set aside: %w", path, err, renamed)
	}
	return fmt.Errorf("%s was %w as %s: %w", path, ErrSetAside, aside, err)
}

// Save replaces the document at path, readable by its owner only. It returns
// once the document is on the disk. One caller at a time.
func Save(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if _, err := files.Folder(filepath.Dir(path), false); err != nil {
		return err
	}
	// Always by the same name: a crash leaves one such file at most.
	next := path + ".new"
	f, err := files.OpenState(next, os.O_CREATE|os.O_WRONLY|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return files.WithReserve(func() error { return replace(next, path) })
}

// replace renames a document to its path, and has that on the disk. It may be called
// again after an error.
func replace(next, path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(os.Rename(next, path), dir.Sync(), dir.Close())
}
