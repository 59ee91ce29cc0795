-- +goose Up
-- What gateways were asked to do, by whom, and what they say became of it. One
-- that this cloud hasn't issued, of which only the answer is known, has no times
-- of its own.
CREATE TABLE command (
    id       TEXT   NOT NULL PRIMARY KEY,
    gateway  TEXT   NOT NULL,
    epoch    TEXT   NOT NULL DEFAULT '',
    kind     TEXT   NOT NULL,
    alarm    TEXT   NOT NULL,
    actor    TEXT   NOT NULL,
    issued   BIGINT,
    expires  BIGINT,
    answered BIGINT,
    result   TEXT   NOT NULL DEFAULT '',
    cause    TEXT   NOT NULL DEFAULT ''
) WITHOUT ROWID;

-- +goose Down
DROP TABLE command;
