-- An hour is counted from 1970-01-01 UTC.

-- +goose Up
-- The samples of one bundle within one hour, by series and time: part 0 and those
-- that follow it. They stand for the chunks of that hour whose minutes are before
-- until and whose ids are at most through; these are deleted afterwards.
CREATE TABLE packed (
    bundle       BIGINT NOT NULL,
    hour         BIGINT NOT NULL,
    part         BIGINT NOT NULL,
    first_series BIGINT NOT NULL,
    last_series  BIGINT NOT NULL,
    samples      BIGINT NOT NULL,
    until        BIGINT NOT NULL, -- a minute
    through      BIGINT NOT NULL, -- the id of a chunk
    block        BYTEA  NOT NULL,
    PRIMARY KEY (bundle, hour, part)
);
ALTER TABLE packed ALTER COLUMN block SET STORAGE EXTERNAL; -- it is compressed already

-- The minutes of a packed hour, in one block.
CREATE TABLE rollup_minutes (
    bundle BIGINT NOT NULL,
    hour   BIGINT NOT NULL,
    block  BYTEA  NOT NULL,
    PRIMARY KEY (bundle, hour)
);
ALTER TABLE rollup_minutes ALTER COLUMN block SET STORAGE EXTERNAL;

-- The samples of a series in a span of 15 min, 1 h or 1 d, which is width. Values are
-- numbers of samples that aren't bad; without any, what is of them is null.
CREATE TABLE rollup (
    width      BIGINT NOT NULL, -- in minutes
    series     BIGINT NOT NULL,
    start_time BIGINT NOT NULL,
    samples    BIGINT NOT NULL,
    good       BIGINT NOT NULL,
    valued     BIGINT NOT NULL, -- how many samples give a value
    min_value  DOUBLE PRECISION,
    max_value  DOUBLE PRECISION,
    sum_value  DOUBLE PRECISION,
    last_value DOUBLE PRECISION,
    last_text  TEXT COLLATE "C",
    PRIMARY KEY (width, series, start_time)
);

-- Up to which minute samples and rollups have been deleted for their age.
CREATE TABLE retained (
    level TEXT   COLLATE "C" NOT NULL PRIMARY KEY, -- raw, 1min, 15min, 1h, 1d
    since BIGINT NOT NULL
);

CREATE VIEW rollup_15min AS
    SELECT s.gateway, s.device, s.name, s.unit, s.kind, s.asset, r.series, r.start_time AS time_us, r.min_value, r.max_value,
        r.sum_value / r.valued AS mean_value, r.last_value, r.last_text, r.samples, r.valued, CAST(r.good AS DOUBLE PRECISION) / r.samples AS good_share
    FROM series s JOIN rollup r ON r.series = s.id AND r.width = 15;

CREATE VIEW rollup_1h AS
    SELECT s.gateway, s.device, s.name, s.unit, s.kind, s.asset, r.series, r.start_time AS time_us, r.min_value, r.max_value,
        r.sum_value / r.valued AS mean_value, r.last_value, r.last_text, r.samples, r.valued, CAST(r.good AS DOUBLE PRECISION) / r.samples AS good_share
    FROM series s JOIN rollup r ON r.series = s.id AND r.width = 60;

CREATE VIEW rollup_1d AS
    SELECT s.gateway, s.device, s.name, s.unit, s.kind, s.asset, r.series, r.start_time AS time_us, r.min_value, r.max_value,
        r.sum_value / r.valued AS mean_value, r.last_value, r.last_text, r.samples, r.valued, CAST(r.good AS DOUBLE PRECISION) / r.samples AS good_share
    FROM series s JOIN rollup r ON r.series = s.id AND r.width = 1440;

-- +goose Down
DROP VIEW rollup_1d;
DROP VIEW rollup_1h;
DROP VIEW rollup_15min;
DROP TABLE retained;
DROP TABLE rollup;
DROP TABLE rollup_minutes;
DROP TABLE packed;
