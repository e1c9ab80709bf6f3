-- +goose Up
CREATE TABLE verdicts (
    id       text PRIMARY KEY,
    kind     text NOT NULL,
    subject  text NOT NULL,
    outcome  text NOT NULL,
    chain_id bigint NOT NULL,
    at       timestamptz NOT NULL,
    body     jsonb NOT NULL
);
CREATE INDEX verdicts_at ON verdicts (at);
CREATE INDEX verdicts_subject_at ON verdicts (subject, at);
CREATE INDEX verdicts_outcome_at ON verdicts (outcome, at);

-- +goose Down
DROP TABLE verdicts;
