-- Schema 5: the units that the gateway has taken over, so that its closing gives back what came later.

ALTER TABLE activity ADD COLUMN copied INTEGER; -- NULL where nothing was flushed of it yet
