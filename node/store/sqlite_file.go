package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	sqlitedriver "modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"

	"github.com/bizra/bizra-top/node/files"
	"github.com/bizra/bizra-top/node/pool"
	"github.com/bizra/bizra-top/node/printable"
)

const (
	// checkFor bounds the check of a file at start: what is larger than can be read
	// through in that time is checked in part, and found damaged when that is used.
	checkFor = time.Second
	// renewFor bounds the copying of a file that was removed while it was in use.
	renewFor = 10 * time.Minute
	// connections is how many connections a file has. All are opened at once, so that
	// none must be opened when the process has no descriptors left: for maxQueries
	// queries, one commit, one deletion, one check and one look of the outbox.
	connections = maxQueries + 4
)

// besides are the endings of the files that SQLite has beside the file itself.
var besides = []string{"-wal", "-shm"}

// sqlite keeps records in one file, in WAL mode: one writer, many readers. A damaged file
// is set aside, and one that was removed while it was in use is made anew, with what it
// held.
type sqlite struct {
	path   string
	gate   *pool.Gate // nil for the outbox, which must not wait behind the ledger
	notify func(severity, text string)
	// renewed, which may be nil, is called when the file was made anew, with why.
	renewed func(why string)

	mu    sync.RWMutex // held for writing while the file is made anew
	db    *sql.DB      // nil while it could not be
	inUse map[string]files.Identity
}

// Why a file was made anew, as its metric says.
const (
	whyDamaged = "damaged"
	whyRemoved = "removed"
)

// openSQLite opens or creates the file. One that is damaged is set aside, of which
// notify is told, and a new one is made.
func openSQLite(ctx context.Context, path string, gate *pool.Gate, notify func(severity, text string)) (*sqlite, []string, error) {
	s := &sqlite{path: path, gate: gate, notify: notify}
	if _, err := files.Folder(filepath.Dir(path), true); err != nil {
		return nil, nil, err
	}
	err := s.open(ctx)
	if err == nil {
		return s, nil, nil
	}
	if !isDamaged(err) {
		return nil, nil, fmt.Errorf("open %s: %w", path, explainFull(err))
	}
	if err := s.setAside(err); err != nil {
		return nil, nil, err
	}
	if err := s.open(ctx); err != nil {
		return nil, nil, fmt.Errorf("open a new %s: %w", path, explainFull(err))
	}
	return s, []string{whyDamaged}, nil
}

// open opens or creates the file and checks it. synchronous=FULL makes a commit survive
// a loss of power; group commit pays for it. The log shrinks to twice what is
// checkpointed at once after a long reader made it grow.
func (s *sqlite) open(ctx context.Context) error {
	for _, suffix := range append([]string{""}, besides...) {
		if err := files.CheckState(s.path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	// Only an empty file can be told to give back what is free, and each connection that
	// says so once more would write.
	if info, err := os.Stat(s.path); err != nil || info.Size() == 0 {
		db, err := sql.Open("sqlite", s.address("auto_vacuum(incremental)", "journal_mode(WAL)"))
		if err != nil {
			return err
		}
		if err := errors.Join(db.PingContext(ctx), db.Close()); err != nil {
			return err
		}
	}
	db, err := sql.Open("sqlite", s.address("journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(5000)", "journal_size_limit(8388608)", "temp_store(memory)"))
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	if err := prepare(ctx, db); err != nil {
		return closeAfter(db, err)
	}
	s.db, s.inUse = db, map[string]files.Identity{}
	for _, suffix := range append([]string{""}, besides...) {
		if s.inUse[suffix], err = files.Identify(s.path + suffix); err != nil {
			s.db = nil
			return closeAfter(db, err)
		}
	}
	return nil
}

// address is how the driver is told of the file, with pragmas for each connection.
func (s *sqlite) address(pragmas ...string) string {
	at := url.URL{Scheme: "file", Opaque: (&url.URL{Path: s.path}).EscapedPath(), RawQuery: url.Values{"_pragma": pragmas, "_txlock": {"immediate"}}.Encode()}
	return at.String()
}

// prepare checks a file, brings its schema up to date and opens every connection.
func prepare(ctx context.Context, db *sql.DB) error {
	limited, cancel := context.WithTimeout(ctx, checkFor)
	defer cancel()
	var found string
	err := db.QueryRowContext(limited, "PRAGMA quick_check(1)").Scan(&found)
	switch {
	case limited.Err() != nil && ctx.Err() == nil: // so far it is whole
	case err != nil:
		return err
	case found != "ok":
		return damage{errors.New(found)}
	}
	if err := migrate(ctx, db, goose.DialectSQLite3, "sqlite"); err != nil {
		return err
	}
	for _, statement := range []string{sqliteCheckRead, sqliteCheckWrite} {
		// What is there can be read while the disk is full.
		if _, err := db.ExecContext(ctx, statement); err != nil && !errors.Is(explainFull(err), ErrDiskFull) {
			return err
		}
	}
	opened := make([]*sql.Conn, 0, connections)
	defer func() {
		for _, c := range opened {
			_ = c.Close() // gives it back
		}
	}()
	for range connections {
		c, err := db.Conn(ctx)
		if err != nil {
			return err
		}
		opened = append(opened, c)
		// A connection opens the files with its first statement.
		if _, err := c.ExecContext(ctx, sqliteCheckRead); err != nil {
			return err
		}
	}
	return nil
}

func closeAfter(db *sql.DB, err error) error {
	_ = db.Close() // the first error is the one that matters
	return err
}

// damage is what an integrity check has found.
type damage struct{ error }

// isDamaged tells what is wrong with a file from what is wrong with the host.
func isDamaged(err error) bool {
	if found := (damage{}); errors.As(err, &found) {
		return true
	}
	var failed *sqlitedriver.Error
	if !errors.As(err, &failed) {
		return false
	}
	switch failed.Code() & 0xff {
	case sqlitelib.SQLITE_CORRUPT, sqlitelib.SQLITE_NOTADB, sqlitelib.SQLITE_FORMAT:
		return true
	case sqlitelib.SQLITE_ERROR: // such as no table, or a column that is not there
		return true
	}
	return false
}

// setAside renames a damaged file and those beside it. The caller has closed it.
func (s *sqlite) setAside(why error) error {
	aside, err := files.SetAside(s.path, besides...)
	if err != nil {
		return errors.Join(fmt.Errorf("%s is damaged: %w", s.path, why), err)
	}
	s.notify("bad", fmt.Sprintf("%s was damaged (%s) and is set aside as %s; a new one is begun, without the verdicts in it", s.path, printable.Clean(why.Error(), 120), aside))
	return nil
}

// replace sets the file aside while it is in use, and begins a new one.
func (s *sqlite) replace(why error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db != nil {
		_ = s.db.Close() // it is damaged
		s.db = nil
	}
	if err := s.setAside(why); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), renewFor)
	defer cancel()
	if err := s.open(ctx); err != nil {
		return fmt.Errorf("open a new %s: %w", s.path, err)
	}
	s.wasRenewed(whyDamaged)
	return nil
}

func (s *sqlite) wasRenewed(why string) {
	if s.renewed != nil {
		s.renewed(why)
	}
}

// moved says what of the files in use is not at its path any more. It costs some
// microseconds.
func (s *sqlite) moved() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.movedNow()
}

// movedNow is moved for who holds the lock.
func (s *sqlite) movedNow() error {
	if s.db == nil {
		return fmt.Errorf("%s is not there", s.path)
	}
	for suffix, was := range s.inUse {
		is, err := files.Identify(s.path + suffix)
		if err != nil {
			return err
		}
		if is == was {
			continue
		}
		if (is == files.Identity{}) {
			return fmt.Errorf("%s was removed while it was in use", s.path+suffix)
		}
		return fmt.Errorf("%s was replaced while it was in use", s.path+suffix)
	}
	return nil
}

// renew makes the file anew at its path, with what the files hold that are still open:
// nothing that was acknowledged is lost. What stands there instead is set aside.
func (s *sqlite) renew(why error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.movedNow() == nil { // somebody else has
		return nil
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), renewFor)
	defer cancel()
	kept, err := s.copyTo(ctx)
	if err == nil {
		err = s.open(ctx)
	}
	if err != nil {
		return fmt.Errorf("%w, and cannot be made anew: %w", why, explainFull(err))
	}
	s.wasRenewed(whyRemoved)
	s.notify("bad", fmt.Sprintf("%s: it is made anew, %s, in %s", why, kept, time.Since(began).Round(time.Millisecond)))
	return nil
}

// copyTo puts what the open files hold into a new file at the path, closes them, and
// says what was kept. After an error they are still open.
func (s *sqlite) copyTo(ctx context.Context) (kept string, err error) {
	if s.db == nil { // that was done, and the new file could not be opened
		return "with what it held", nil
	}
	if _, err := files.Folder(filepath.Dir(s.path), true); err != nil {
		return "", err
	}
	next := s.path + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	kept = "with every verdict it held"
	_, unread := s.db.ExecContext(ctx, "VACUUM INTO ?", next)
	switch {
	case unread == nil:
		if err := flush(next); err != nil {
			return "", err
		}
	case isDamaged(unread):
		kept = "empty, since what it held cannot be read: " + printable.Clean(unread.Error(), 120)
		_ = os.Remove(next) // it is not whole
	default:
		return "", unread
	}
	if _, err := os.Lstat(s.path); err == nil { // something else
		if _, err := files.SetAside(s.path, besides...); err != nil {
			return "", err
		}
	}
	for _, suffix := range besides {
		if err := os.Remove(s.path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	if unread == nil {
		if err := os.Rename(next, s.path); err != nil {
			return "", err
		}
	}
	_ = s.db.Close() // it has no path
	s.db = nil
	return kept, flush(filepath.Dir(s.path))
}

// flush has what is at a path on disk.
func flush(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (s *sqlite) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return nil
	}
	return s.db.Close()
}
