-- +goose Up
-- Who changed what, one row a change. hash is over the row and the hash before it, so no
-- row can be changed, removed or added in between without changing all that follow.
CREATE TABLE audit (
    seq     BIGINT NOT NULL PRIMARY KEY,
    at      BIGINT NOT NULL,
    actor   TEXT   NOT NULL,
    via     TEXT   NOT NULL,
    action  TEXT   NOT NULL,
    subject TEXT   NOT NULL,
    detail  TEXT   NOT NULL,
    hash    TEXT   NOT NULL
) WITHOUT ROWID;

-- +goose Down
DROP TABLE audit;
