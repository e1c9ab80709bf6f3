-- +goose Up
-- Rows are inserted once, never updated, and deleted by age: collect them when one
-- in a hundred is dead, and learn of new ones as often, so that estimates of the
-- newest rows are right. Large bodies are kept apart, with settings of their own.
ALTER TABLE verdicts SET (
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.02,
    toast.autovacuum_vacuum_scale_factor = 0.01,
    toast.autovacuum_vacuum_threshold = 1000
);

-- +goose Down
ALTER TABLE verdicts RESET (
    autovacuum_vacuum_scale_factor,
    autovacuum_vacuum_threshold,
    autovacuum_vacuum_insert_scale_factor,
    autovacuum_analyze_scale_factor,
    toast.autovacuum_vacuum_scale_factor,
    toast.autovacuum_vacuum_threshold
);
