package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/bizra/bizra-top/node/files"
)

// Check has the file made anew if it was removed while it was open. Adding an entry does
// so as well; who calls this now and then has it done also while nothing is added.
func (l *Log) Check() error {
	l.mu.Lock()
	var err error
	if !l.retries { // else that does it
		err = l.follow()
	}
	l.mu.Unlock()
	l.tellLost()
	return err
}

// follow looks whether the open file is the one at the path. If it is not, a file is
// begun at the path, with what the open one holds where nobody else can read that any
// more. The caller holds mu.
func (l *Log) follow() error {
	if l.file == nil {
		return nil
	}
	mine, err := l.file.Stat()
	if err != nil {
		return err
	}
	there, err := os.Lstat(l.path)
	if err == nil && os.SameFile(mine, there) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		return err
	}
	what, replaced := "was removed", err == nil
	var held []byte
	if mine.Sys().(*syscall.Stat_t).Nlink == 0 {
		if held, err = io.ReadAll(io.NewSectionReader(l.file, 0, 2*maxFile)); err != nil {
			return fmt.Errorf("read what the removed %s holds: %w", l.path, err)
		}
	} else {
		what = "was moved"
	}
	if _, err := files.Folder(filepath.Dir(l.path), true); err != nil {
		return err
	}
	if replaced {
		what = "was replaced"
		if _, err := files.SetAside(l.path); err != nil {
			return err
		}
	}
	f, err := files.OpenState(l.path, os.O_CREATE|os.O_RDWR|os.O_APPEND|os.O_EXCL)
	if err != nil {
		return err
	}
	if _, err = f.Write(held); err == nil {
		err = f.Sync()
	}
	if err != nil {
		return errors.Join(err, f.Close(), os.Remove(l.path))
	}
	_ = l.file.Close() // all it holds is flushed
	l.file, l.size = f, int64(len(held))
	l.cut = len(held) > 0 && held[len(held)-1] != '\n'
	text := fmt.Sprintf("%s %s while it was open: it is made anew, with the %d bytes that nobody else could read any more", l.path, what, len(held))
	l.gone.Store(&text)
	return nil
}

// tellLost tells of a file that was made anew. The caller does not hold mu.
func (l *Log) tellLost() {
	if text := l.gone.Swap(nil); text != nil {
		l.tell("bad", *text)
	}
}
