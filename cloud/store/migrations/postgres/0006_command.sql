-- +goose Up
-- What gateways were asked to do, by whom, and what they say became of it. One
-- that this cloud hasn't issued, of which only the answer is known, has no times
-- of its own.
CREATE TABLE command (
    id       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    gateway  TEXT COLLATE "C" NOT NULL,
    epoch    TEXT COLLATE "C" NOT NULL DEFAULT '',
    kind     TEXT COLLATE "C" NOT NULL,
    alarm    TEXT COLLATE "C" NOT NULL,
    actor    TEXT COLLATE "C" NOT NULL,
    issued   BIGINT,
    expires  BIGINT,
    answered BIGINT,
    result   TEXT COLLATE "C" NOT NULL DEFAULT '',
    cause    TEXT COLLATE "C" NOT NULL DEFAULT ''
);

-- +goose Down
DROP TABLE command;
