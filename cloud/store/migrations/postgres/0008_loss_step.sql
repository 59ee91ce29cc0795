-- +goose Up
-- Which thinning of its range a loss was; 0 if it was none, or the gateway didn't say.
ALTER TABLE device_loss ADD COLUMN step BIGINT NOT NULL DEFAULT 0;
ALTER TABLE device_loss ALTER COLUMN step DROP DEFAULT;
ALTER TABLE device_loss DROP CONSTRAINT device_loss_pkey;
ALTER TABLE device_loss ADD PRIMARY KEY (quarter, device, reason, sequence, seq_first, seq_last, step, samples);
CREATE INDEX device_loss_step ON device_loss (sequence, step, seq_first) WHERE step > 0;

-- +goose Down
DROP INDEX device_loss_step;
ALTER TABLE device_loss DROP CONSTRAINT device_loss_pkey;
DELETE FROM device_loss a USING device_loss b WHERE a.ctid > b.ctid AND (a.quarter, a.device, a.reason, a.sequence, a.seq_first, a.seq_last, a.samples)
    = (b.quarter, b.device, b.reason, b.sequence, b.seq_first, b.seq_last, b.samples);
ALTER TABLE device_loss DROP COLUMN step;
ALTER TABLE device_loss ADD PRIMARY KEY (quarter, device, reason, sequence, seq_first, seq_last, samples);
