-- +goose Up
-- How the network is operated where it isn't as its model says, or where somebody has said
-- how. gateway is the one that measures the position, '': people say it.
CREATE TABLE switching (
    asset    TEXT    NOT NULL PRIMARY KEY,
    position TEXT    NOT NULL, -- open, closed or normal
    phases   TEXT    NOT NULL, -- that are open
    cut      BOOLEAN NOT NULL,
    tag      TEXT    NOT NULL,
    gateway  TEXT    NOT NULL,
    actor    TEXT    NOT NULL,
    comment  TEXT    NOT NULL,
    at       BIGINT  NOT NULL
) WITHOUT ROWID;

-- +goose Down
DROP TABLE switching;
