-- +goose Up
-- Sags and swells that meters have counted of a phase's voltage between two readings, since
-- and at.
CREATE TABLE disturbance (
    gateway TEXT COLLATE "C" NOT NULL REFERENCES gateway (id),
    device  TEXT COLLATE "C" NOT NULL,
    at      BIGINT NOT NULL,
    kind    TEXT COLLATE "C" NOT NULL, -- voltage-sag, voltage-swell
    phase   TEXT COLLATE "C" NOT NULL,
    asset   TEXT COLLATE "C" NOT NULL,
    since   BIGINT NOT NULL,
    number  BIGINT NOT NULL,
    PRIMARY KEY (gateway, device, at, kind, phase)
);
CREATE INDEX disturbance_asset ON disturbance (asset, at);

-- +goose Down
DROP TABLE disturbance;
