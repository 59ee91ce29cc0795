-- +goose Up
-- Sags and swells that meters have counted of a phase's voltage between two readings, since
-- and at.
CREATE TABLE disturbance (
    gateway TEXT NOT NULL REFERENCES gateway (id),
    device  TEXT NOT NULL,
    at      BIGINT NOT NULL,
    kind    TEXT NOT NULL, -- voltage-sag, voltage-swell
    phase   TEXT NOT NULL,
    asset   TEXT NOT NULL,
    since   BIGINT NOT NULL,
    number  BIGINT NOT NULL,
    PRIMARY KEY (gateway, device, at, kind, phase)
) WITHOUT ROWID;
CREATE INDEX disturbance_asset ON disturbance (asset, at);

-- +goose Down
DROP TABLE disturbance;
