package store

import (
	"context"
	"database/sql"
	"fmt"
)

// giveBack returns a megabyte of free pages to the file system when more than a
// tenth of the file is free, and says whether it did. What remains is for the
// verdicts to come. A file made without auto_vacuum keeps its pages.
func (s *sqlite) giveBack(ctx context.Context) (given bool, err error) {
	err = s.do(ctx, func(ctx context.Context, db *sql.DB) error {
		free, pages, err := pagesOf(ctx, db)
		if err != nil || free <= max(pages/10, freePages) {
			return err
		}
		if _, err := db.ExecContext(ctx, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", freePages)); err != nil {
			return err
		}
		left, _, err := pagesOf(ctx, db)
		given = left < free
		return err
	})
	if err != nil {
		return false, fmt.Errorf("give free pages back: %w", err)
	}
	return given, nil
}

func pagesOf(ctx context.Context, db *sql.DB) (free, all int64, err error) {
	err = db.QueryRowContext(ctx, "SELECT f.freelist_count, p.page_count FROM pragma_freelist_count f, pragma_page_count p").Scan(&free, &all)
	return free, all, err
}

// checkpoint moves the log to the file, which gets as short as it can be then.
func (s *sqlite) checkpoint(ctx context.Context) error {
	return s.do(ctx, func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)")
		return err
	})
}

// freePages is a megabyte of SQLite's pages of 4 KiB.
const freePages = 256
