-- +goose Up
-- A meter's intervals may change: of each width it is kept when the first one began.
CREATE TABLE read_width (
    series  BIGINT NOT NULL REFERENCES series (id),
    bundle  BIGINT NOT NULL,
    width   BIGINT NOT NULL, -- µs
    first   BIGINT NOT NULL, -- when the first interval began
    PRIMARY KEY (series, width)
) WITHOUT ROWID;
INSERT INTO read_width SELECT series, bundle, width, first FROM read_interval;
DROP TABLE read_interval;
ALTER TABLE read_width RENAME TO read_interval;
CREATE INDEX read_interval_bundle ON read_interval (bundle);

-- +goose Down
DELETE FROM read_interval WHERE EXISTS (SELECT 1 FROM read_interval o WHERE o.series = read_interval.series AND (o.first > read_interval.first OR o.first = read_interval.first AND o.width < read_interval.width));
CREATE TABLE read_width (
    series  BIGINT NOT NULL PRIMARY KEY REFERENCES series (id),
    bundle  BIGINT NOT NULL,
    width   BIGINT NOT NULL, -- µs
    first   BIGINT NOT NULL -- when the first interval began
) WITHOUT ROWID;
INSERT INTO read_width SELECT series, bundle, width, first FROM read_interval;
DROP TABLE read_interval;
ALTER TABLE read_width RENAME TO read_interval;
CREATE INDEX read_interval_bundle ON read_interval (bundle);
