-- +goose Up
-- A meter's intervals may change: of each width it is kept when the first one began.
ALTER TABLE read_interval DROP CONSTRAINT read_interval_pkey;
ALTER TABLE read_interval ADD PRIMARY KEY (series, width);

-- +goose Down
DELETE FROM read_interval WHERE EXISTS (SELECT 1 FROM read_interval o WHERE o.series = read_interval.series AND (o.first > read_interval.first OR o.first = read_interval.first AND o.width < read_interval.width));
ALTER TABLE read_interval DROP CONSTRAINT read_interval_pkey;
ALTER TABLE read_interval ADD PRIMARY KEY (series);
