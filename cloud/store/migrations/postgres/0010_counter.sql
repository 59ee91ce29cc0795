-- +goose Up
-- What the values of a series are called: a JSON object with states and flags, empty
-- if they have no names.
ALTER TABLE series ADD COLUMN names TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE alarm_input ADD COLUMN state TEXT COLLATE "C" NOT NULL DEFAULT '';

-- Decreases of counters, as gateways have told them. at is when the first lower value
-- was read. modulus is by how much the counter begins again; 0 after a reset.
CREATE TABLE counter_change (
    gateway   TEXT COLLATE "C" NOT NULL REFERENCES gateway (id),
    device    TEXT COLLATE "C" NOT NULL,
    name      TEXT COLLATE "C" NOT NULL,
    unit      TEXT COLLATE "C" NOT NULL,
    at        BIGINT NOT NULL,
    kind      TEXT COLLATE "C" NOT NULL, -- counter-rolled-over, counter-reset
    asset     TEXT COLLATE "C" NOT NULL,
    value_after DOUBLE PRECISION NOT NULL,
    before_at BIGINT NOT NULL,
    value_before DOUBLE PRECISION NOT NULL,
    modulus   DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (gateway, device, name, unit, at, kind)
);
CREATE INDEX counter_change_at ON counter_change (at);

-- +goose Down
DROP TABLE counter_change;
ALTER TABLE alarm_input DROP COLUMN state;
ALTER TABLE series DROP COLUMN names;
