-- +goose Up
-- It may take minutes on a large table, whatever the role's limit for a statement is.
SET LOCAL statement_timeout = 0;
-- Every combination of filters has an index that has its rows in the order of time. A
-- subject has rows of one kind, so its index only carries what else is asked for.
CREATE INDEX verdicts_subject_at_kind ON verdicts (subject, at, kind, outcome);
DROP INDEX verdicts_subject_at;
ALTER INDEX verdicts_subject_at_kind RENAME TO verdicts_subject_at;
CREATE INDEX verdicts_kind_at ON verdicts (kind, at);
CREATE INDEX verdicts_kind_outcome_at ON verdicts (kind, outcome, at);

-- +goose Down
DROP INDEX verdicts_kind_outcome_at;
DROP INDEX verdicts_kind_at;
DROP INDEX verdicts_subject_at;
CREATE INDEX verdicts_subject_at ON verdicts (subject, at);
