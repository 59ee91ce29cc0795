-- +goose Up
-- How the network is operated where it isn't as its model says, or where somebody has said
-- how. gateway is the one that measures the position, '': people say it.
CREATE TABLE switching (
    asset    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    position TEXT COLLATE "C" NOT NULL, -- open, closed or normal
    phases   TEXT COLLATE "C" NOT NULL, -- that are open
    cut      BOOLEAN NOT NULL,
    tag      TEXT COLLATE "C" NOT NULL,
    gateway  TEXT COLLATE "C" NOT NULL,
    actor    TEXT COLLATE "C" NOT NULL,
    comment  TEXT COLLATE "C" NOT NULL,
    at       BIGINT NOT NULL
);

-- +goose Down
DROP TABLE switching;
