// Package statefile keeps one small JSON document on disk, so that it is there
// after a crash: whole as it was, or whole as it became.
package statefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/prometheus/prometheus/tsdb/fileutil"
)

// maxSize bounds what is read of a document.
const maxSize = 64 << 20

// ErrSetAside says that the document was damaged, and by what name it is kept.
var ErrSetAside = errors.New("damaged and set aside")

// Load reads the document at path into v, which stays as it is when there is
// none. A document that cannot be understood is renamed to path.damaged, in place
// of one set aside before, and the error is [ErrSetAside]: go on without it.
func Load(path string, v any) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if err = json.Unmarshal(data, v); err == nil {
		return nil
	}
	aside := path + ".damaged"
	if renamed := os.Rename(path, aside); renamed != nil {
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
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	// Always by the same name: a crash leaves one such file at most.
	next := path + ".new"
	f, err := os.OpenFile(next, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return fileutil.Rename(next, path)
}
