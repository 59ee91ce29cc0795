-- +goose Up
-- What isn't announced though it may be active. handling is shelved or out-of-service, ''
-- neither; suppressed_by is the id of the alarm that stands for it, '' none does.
-- unannounced says that nobody but the console has been told that it is active. chattered
-- is when it was last found to come again and again, 0 never.
ALTER TABLE alarm ADD COLUMN handling TEXT NOT NULL DEFAULT '';
ALTER TABLE alarm ADD COLUMN suppressed_by TEXT NOT NULL DEFAULT '';
ALTER TABLE alarm ADD COLUMN unannounced BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE alarm ADD COLUMN chattered BIGINT NOT NULL DEFAULT 0;
CREATE INDEX alarm_listed ON alarm (raised) WHERE active OR NOT acknowledged OR handling <> '';
CREATE INDEX alarm_condition ON alarm (gateway, rule, asset, device, raised);
CREATE INDEX alarm_suppressed ON alarm (suppressed_by) WHERE suppressed_by <> '';

-- The conditions that people have shelved or taken out of service. ends is 0 of those that
-- nothing but people end. alarm is the newest one of the condition.
CREATE TABLE alarm_shelf (
    gateway  TEXT   NOT NULL REFERENCES gateway (id),
    rule     TEXT   NOT NULL,
    asset    TEXT   NOT NULL,
    device   TEXT   NOT NULL,
    handling TEXT   NOT NULL,
    since    BIGINT NOT NULL,
    ends     BIGINT NOT NULL,
    actor    TEXT   NOT NULL,
    reason   TEXT   NOT NULL,
    alarm    TEXT   NOT NULL REFERENCES alarm (id),
    PRIMARY KEY (gateway, rule, asset, device)
) WITHOUT ROWID;

-- When the cloud was told of a transition, and whether it is one by which an alarm asks
-- for attention: what is counted of the work that alarms make.
ALTER TABLE alarm_event ADD COLUMN told BIGINT NOT NULL DEFAULT 0;
ALTER TABLE alarm_event ADD COLUMN announced BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE alarm_event SET told = at, announced = action = 'raised';
CREATE INDEX alarm_event_announced ON alarm_event (told) WHERE announced;

-- +goose Down
DROP INDEX alarm_event_announced;
ALTER TABLE alarm_event DROP COLUMN announced;
ALTER TABLE alarm_event DROP COLUMN told;
DROP TABLE alarm_shelf;
DROP INDEX alarm_suppressed;
DROP INDEX alarm_condition;
DROP INDEX alarm_listed;
ALTER TABLE alarm DROP COLUMN chattered;
ALTER TABLE alarm DROP COLUMN unannounced;
ALTER TABLE alarm DROP COLUMN suppressed_by;
ALTER TABLE alarm DROP COLUMN handling;
