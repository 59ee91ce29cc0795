-- +goose Up
-- Who goes out, and to which outage.
CREATE TABLE crew (
    id      TEXT   NOT NULL PRIMARY KEY,
    name    TEXT   NOT NULL,
    state   TEXT   NOT NULL,
    outage  TEXT   NOT NULL, -- '': none
    comment TEXT   NOT NULL,
    actor   TEXT   NOT NULL,
    at      BIGINT NOT NULL
) WITHOUT ROWID;

-- What customers have said.
CREATE TABLE customer_call (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    at     BIGINT NOT NULL,
    point  TEXT   NOT NULL,
    says   TEXT   NOT NULL,
    words  TEXT   NOT NULL,
    actor  TEXT   NOT NULL
);
CREATE INDEX customer_call_point ON customer_call (point, at);

-- +goose Down
DROP TABLE customer_call;
DROP TABLE crew;
