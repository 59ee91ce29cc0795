-- +goose Up
-- What is known of an alarm's rule. confirmed is 0, and the texts are empty, where the
-- gateway doesn't say.
ALTER TABLE alarm ADD COLUMN confirmed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE alarm ADD COLUMN rule_version TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE alarm ADD COLUMN method TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE alarm ADD COLUMN alarm_group TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE alarm ADD COLUMN first_up TEXT COLLATE "C" NOT NULL DEFAULT '';

-- Samples from before and after an alarm was raised. They may come before the alarm.
-- signals is a JSON list, as in the event.
CREATE TABLE alarm_capture (
    gateway   TEXT COLLATE "C" NOT NULL REFERENCES gateway (id),
    alarm     TEXT COLLATE "C" NOT NULL,
    decided   BIGINT NOT NULL,
    from_time BIGINT NOT NULL,
    to_time   BIGINT NOT NULL,
    signals   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (gateway, alarm)
);

-- +goose Down
DROP TABLE alarm_capture;
ALTER TABLE alarm DROP COLUMN first_up;
ALTER TABLE alarm DROP COLUMN alarm_group;
ALTER TABLE alarm DROP COLUMN method;
ALTER TABLE alarm DROP COLUMN rule_version;
ALTER TABLE alarm DROP COLUMN confirmed;
