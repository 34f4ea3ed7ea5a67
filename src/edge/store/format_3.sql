ALTER TABLE attempts ADD COLUMN bad_sound TEXT;
