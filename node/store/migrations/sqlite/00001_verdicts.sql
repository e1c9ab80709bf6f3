-- +goose Up
CREATE TABLE verdicts (
    id       TEXT PRIMARY KEY,
    kind     TEXT NOT NULL,
    subject  TEXT NOT NULL,
    outcome  TEXT NOT NULL,
    chain_id INTEGER NOT NULL,
    at       INTEGER NOT NULL, -- Unix microseconds
    body     BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX verdicts_at ON verdicts (at);
CREATE INDEX verdicts_subject_at ON verdicts (subject, at);
CREATE INDEX verdicts_outcome_at ON verdicts (outcome, at);

-- +goose Down
DROP TABLE verdicts;
