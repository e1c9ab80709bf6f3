-- +goose Up
-- Why PostgreSQL refused a verdict of the outbox; NULL in a ledger.
ALTER TABLE verdicts ADD COLUMN refused TEXT;
-- Every combination of filters has an index that has its rows in the order of time. A
-- subject has rows of one kind, so its index only carries what else is asked for.
DROP INDEX verdicts_subject_at;
CREATE INDEX verdicts_subject_at ON verdicts (subject, at, kind, outcome);
CREATE INDEX verdicts_kind_at ON verdicts (kind, at);
CREATE INDEX verdicts_kind_outcome_at ON verdicts (kind, outcome, at);

-- +goose Down
DROP INDEX verdicts_kind_outcome_at;
DROP INDEX verdicts_kind_at;
DROP INDEX verdicts_subject_at;
CREATE INDEX verdicts_subject_at ON verdicts (subject, at);
ALTER TABLE verdicts DROP COLUMN refused;
