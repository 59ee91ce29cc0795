-- +goose Up
-- How a line, switch or transformer was operated, by what people said and what was
-- measured. Rows are only added.
CREATE TABLE switching_entry (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    asset    TEXT NOT NULL,
    at       BIGINT NOT NULL,
    position TEXT NOT NULL,
    phases   TEXT NOT NULL,
    cut      BOOLEAN NOT NULL,
    tag      TEXT NOT NULL,
    gateway  TEXT NOT NULL,
    actor    TEXT NOT NULL,
    comment  TEXT NOT NULL
);
CREATE INDEX switching_entry_asset ON switching_entry (asset, at);
INSERT INTO switching_entry (asset, at, position, phases, cut, tag, gateway, actor, comment)
    SELECT asset, at, position, phases, cut, tag, gateway, actor, comment FROM switching;

-- When supply was expected back in an outage, as it was said.
CREATE TABLE outage_estimate (
    outage TEXT NOT NULL REFERENCES outage (id),
    at     BIGINT NOT NULL,
    p50    BIGINT NOT NULL,
    p80    BIGINT NOT NULL,
    actor  TEXT NOT NULL,
    PRIMARY KEY (outage, at)
) WITHOUT ROWID;
CREATE INDEX outage_estimate_at ON outage_estimate (at);

-- By what an asset's history is found.
CREATE INDEX alarm_of_asset ON alarm (asset, raised);
CREATE INDEX outage_device ON outage (device);
CREATE INDEX outage_earlier_point ON outage_earlier (point);
CREATE INDEX control_step_asset ON control_step (asset, at);
CREATE INDEX command_alarm ON command (alarm) WHERE alarm <> '';

-- By which what was active at a time is found.
CREATE INDEX alarm_cleared ON alarm (cleared) WHERE cleared IS NOT NULL;

-- +goose Down
DROP INDEX alarm_cleared;
DROP INDEX command_alarm;
DROP INDEX control_step_asset;
DROP INDEX outage_earlier_point;
DROP INDEX outage_device;
DROP INDEX alarm_of_asset;
DROP TABLE outage_estimate;
DROP TABLE switching_entry;
