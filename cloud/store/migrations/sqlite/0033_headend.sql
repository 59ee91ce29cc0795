-- +goose Up
-- The head-ends and systems of meter data that meters are read by, each beside the gateway
-- of its id, and how long after an interval's end it may be told.
CREATE TABLE headend (
    id      TEXT   NOT NULL PRIMARY KEY REFERENCES gateway (id),
    expects BIGINT NOT NULL
) WITHOUT ROWID;

-- The meters of head-ends, and the service points that they are at.
CREATE TABLE meter (
    headend TEXT NOT NULL REFERENCES headend (id),
    id      TEXT NOT NULL,
    point   TEXT NOT NULL,
    since   BIGINT NOT NULL, -- µs since 1970: what is told of an earlier time changes nothing
    PRIMARY KEY (headend, id)
) WITHOUT ROWID;
CREATE INDEX meter_point ON meter (point);

-- The reads of a bundle's day, as they count: two blocks of the same samples, with the
-- reads, and with those versions that aren't 0.
CREATE TABLE read_day (
    day      BIGINT NOT NULL, -- days since 1970-01-01 UTC
    bundle   BIGINT NOT NULL,
    reads    BLOB   NOT NULL,
    versions BLOB   NOT NULL,
    PRIMARY KEY (day, bundle)
) WITHOUT ROWID;

-- The series that are read by intervals, from the first one of each width on.
CREATE TABLE read_interval (
    series  BIGINT NOT NULL REFERENCES series (id),
    bundle  BIGINT NOT NULL,
    width   BIGINT NOT NULL, -- µs
    first   BIGINT NOT NULL, -- when the first interval began
    PRIMARY KEY (series, width)
) WITHOUT ROWID;
CREATE INDEX read_interval_bundle ON read_interval (bundle);

-- What meters have told beside reads.
CREATE TABLE meter_event (
    headend TEXT   NOT NULL REFERENCES headend (id),
    meter   TEXT   NOT NULL,
    at      BIGINT NOT NULL,
    code    TEXT   NOT NULL, -- the head-end's
    number  TEXT   NOT NULL, -- by which the head-end tells events of one code and time apart
    kind    TEXT   NOT NULL,
    asset   TEXT   NOT NULL,
    words   TEXT   NOT NULL,
    taken   BIGINT NOT NULL,
    PRIMARY KEY (headend, meter, at, code, number)
) WITHOUT ROWID;
CREATE INDEX meter_event_asset ON meter_event (asset, at);

-- What became of a file's lines. line is the last one that was taken, over 0 until all are.
CREATE TABLE import_run (
    id        TEXT   NOT NULL PRIMARY KEY,
    headend   TEXT   NOT NULL REFERENCES headend (id),
    file      TEXT   NOT NULL,
    actor     TEXT   NOT NULL,
    began     BIGINT NOT NULL,
    over      BIGINT NOT NULL,
    line      BIGINT NOT NULL,
    fresh     BIGINT NOT NULL,
    same      BIGINT NOT NULL,
    corrected BIGINT NOT NULL,
    older     BIGINT NOT NULL,
    aside     BIGINT NOT NULL
) WITHOUT ROWID;

-- Rows that were set aside.
CREATE TABLE import_aside (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      BIGINT NOT NULL,
    headend TEXT   NOT NULL,
    run     TEXT   NOT NULL, -- '': it came by the topic
    place   TEXT   NOT NULL, -- file:line:column, or topic/partition@offset:line:column
    cause   TEXT   NOT NULL
);
CREATE INDEX import_aside_at ON import_aside (at);
CREATE INDEX import_aside_run ON import_aside (run, id) WHERE run <> '';

-- Who is supplied at a service point.
CREATE TABLE customer (
    id       TEXT    NOT NULL PRIMARY KEY,
    point    TEXT    NOT NULL,
    name     TEXT    NOT NULL,
    contact  TEXT    NOT NULL,
    priority TEXT    NOT NULL, -- normal, important, critical, life-support
    tariff   TEXT    NOT NULL
) WITHOUT ROWID;
CREATE INDEX customer_point ON customer (point);
CREATE INDEX customer_priority ON customer (priority, point) WHERE priority <> 'normal';

-- What energy costs: a price holds from begins until the next one of the tariff and register.
CREATE TABLE tariff (
    tariff   TEXT             NOT NULL,
    register TEXT             NOT NULL,
    begins   BIGINT           NOT NULL,
    price    DOUBLE PRECISION NOT NULL,
    unit     TEXT             NOT NULL, -- such as EUR/kW.h
    PRIMARY KEY (tariff, register, begins)
) WITHOUT ROWID;

-- Weather that was measured, or expected when it was issued; issued is 0 of what was measured.
CREATE TABLE weather (
    station  TEXT             NOT NULL,
    quantity TEXT             NOT NULL,
    at       BIGINT           NOT NULL,
    issued   BIGINT           NOT NULL,
    value    DOUBLE PRECISION NOT NULL,
    unit     TEXT             NOT NULL,
    PRIMARY KEY (station, quantity, at, issued)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE weather;
DROP TABLE tariff;
DROP TABLE customer;
DROP TABLE import_aside;
DROP TABLE import_run;
DROP TABLE meter_event;
DROP TABLE read_interval;
DROP TABLE read_day;
DROP TABLE meter;
DROP TABLE headend;
