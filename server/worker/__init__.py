"""The process that runs one job: builds the model and data, trains, reports. Torch is used only here."""
