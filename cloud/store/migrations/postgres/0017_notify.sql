-- +goose Up
-- How far each target has been told of what the cloud concluded: after is the number of
-- the last fact that is done with.
CREATE TABLE notify_target (
    target  TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    after   BIGINT NOT NULL,
    failing BIGINT NOT NULL DEFAULT 0 -- since when the next one can't be delivered, 0: it can
);

-- What a target has refused for good.
CREATE TABLE notify_refusal (
    target TEXT   COLLATE "C" NOT NULL REFERENCES notify_target (target),
    fact   BIGINT NOT NULL,
    at     BIGINT NOT NULL,
    cause  TEXT   COLLATE "C" NOT NULL,
    PRIMARY KEY (target, fact)
);

-- +goose Down
DROP TABLE notify_refusal;
DROP TABLE notify_target;
