-- The minutes' blocks can't be read by SQLite's SQL: there is a view on PostgreSQL alone.

-- +goose Up
SELECT 1;

-- +goose Down
SELECT 1;
